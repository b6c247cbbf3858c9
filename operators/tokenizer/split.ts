/**
 * Splitting a text into the words that are encoded one by one.
 *
 * @since 0.1.0
 */
import { translate } from "./pattern.ts"

/**
 * Calls `word` with each piece of the text, in order. `atStart` says that the text, or the piece, begins where the whole text does.
 */
export type Split = (text: string, word: (piece: string, atStart: boolean) => void, atStart: boolean) => void

/** What becomes of the matches of a pattern, and of what lies between them (Hugging Face's SplitDelimiterBehavior). */
export const behaviors = ["Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"] as const
export type Behavior = (typeof behaviors)[number]

/** GPT-2's pattern. */
export const GPT2_PATTERN = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** Each match of the pattern is a piece, and so is each stretch between matches. Throws if JavaScript has no such pattern. */
export const splitByPattern = (source: string): Split => {
  const pieces = piecesOf(source)
  return (text, word, atStart) => pieces(text, (from, to) => word(text.slice(from, to), atStart && from === 0))
}

/** Calls `piece` with where each match that is not empty, and each stretch between matches, begins and ends. */
const piecesOf = (source: string) => {
  const here = new RegExp(translate(source), "uy")
  const ahead = new RegExp(translate(source), "gu")
  return (text: string, piece: (from: number, to: number, matches: boolean) => void) => {
    let end = 0
    while (end < text.length) {
      here.lastIndex = end
      if (here.test(text) && here.lastIndex > end) {
        piece(end, here.lastIndex, true)
        end = here.lastIndex
        continue
      }
      const next = nextMatch(ahead, text, end)
      piece(end, next, false)
      end = next
    }
  }
}

/** Where the next match that is not empty begins; the end of the text if there is none. */
const nextMatch = (regex: RegExp, text: string, from: number): number => {
  regex.lastIndex = from
  for (let match = regex.exec(text); match !== null; match = regex.exec(text)) {
    if (match[0] !== "" && match.index > from) return match.index
    if (match[0] === "") regex.lastIndex += text.codePointAt(regex.lastIndex)! > 0xffff ? 2 : 1
  }
  return text.length
}

/** Splits by a pattern; with `invert` the stretches between matches are what counts as matches. Throws if JavaScript has no such pattern. */
export const splitWith = (source: string, behavior: Behavior, invert: boolean): Split => {
  if (behavior === "Isolated") return splitByPattern(source)
  const pieces = piecesOf(source)
  return (text, word, atStart) => {
    // The piece that may still grow: where it begins, and whether it is a match.
    let start = 0
    let wasMatch: boolean | undefined
    const end = (at: number) => {
      if (at > start) word(text.slice(start, at), atStart && start === 0)
      start = at
    }
    pieces(text, (from, to, found) => {
      const matches = found !== invert
      switch (behavior) {
        case "Removed":
          if (!matches) word(text.slice(from, to), atStart && from === 0)
          start = text.length
          break
        case "Contiguous":
          if (matches !== wasMatch) end(from)
          break
        case "MergedWithPrevious":
          if (!matches || wasMatch === true) end(from)
          break
        case "MergedWithNext":
          if (matches || wasMatch === false) end(from)
          break
      }
      wasMatch = matches
    })
    end(text.length)
  }
}

/** Splits by one splitter after another. */
export const splitInTurn = (splits: ReadonlyArray<Split>): Split =>
  splits.length === 1
    ? splits[0]!
    : (text, word, atStart) => {
        const from = (index: number, piece: string, begins: boolean): void => {
          const split = splits[index]
          if (split === undefined) word(piece, begins)
          else split(piece, (part, first) => from(index + 1, part, first), begins)
        }
        from(0, text, atStart)
      }
