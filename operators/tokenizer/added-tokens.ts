/**
 * Tokens that were added to a vocabulary as ordinary text: they are split out of a text before all else. Special tokens are not looked for.
 *
 * @since 0.1.0
 */
import { inWord, literally } from "./pattern.ts"
import type { AddedToken } from "./tokenizer-json.ts"

/** Calls `piece` with each piece of the text, in order, and with its id if it is an added token. */
export type SplitAdded = (
  text: string,
  piece: (text: string, id: number | undefined, atStart: boolean) => void,
  atStart: boolean
) => void

const wordBefore = new RegExp(`[${inWord}]$`, "u")
const wordAfter = new RegExp(`^[${inWord}]`, "u")

/** Finds the tokens, the longest where several begin at one place. `contentOf` is what a token looks like in the texts that are split. */
export const addedSplitter = (
  tokens: ReadonlyArray<AddedToken>,
  contentOf: (token: AddedToken) => string = ({ content }) => content
): SplitAdded => {
  const byContent = new Map(tokens.map((token) => [contentOf(token), token]))
  byContent.delete("")
  if (byContent.size === 0) return (text, piece, atStart) => piece(text, undefined, atStart)
  const longestFirst = [...byContent.keys()].toSorted((a, b) => b.length - a.length)
  const pattern = new RegExp(longestFirst.map(literally).join("|"), "gu")
  return (text, piece, atStart) => {
    let done = 0
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0])!
      let from = match.index
      let to = from + match[0].length
      if (token.single_word === true && (wordBefore.test(text.slice(0, from)) || wordAfter.test(text.slice(to))))
        continue
      if (token.lstrip === true) from = Math.max(done, text.slice(0, from).replace(/\p{White_Space}+$/u, "").length)
      if (token.rstrip === true) to += /^\p{White_Space}*/u.exec(text.slice(to))![0].length
      if (from < done) continue
      if (from > done) piece(text.slice(done, from), undefined, atStart && done === 0)
      piece(text.slice(from, to), token.id, atStart && from === 0)
      done = to
    }
    if (done < text.length) piece(text.slice(done), undefined, atStart && done === 0)
  }
}
