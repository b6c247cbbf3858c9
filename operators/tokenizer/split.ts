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
  return (text, word, atStart) =>
    pieces(text, (from, to) => {
      if (to > from) word(text.slice(from, to), atStart && from === 0)
    })
}

/**
 * Calls `piece` with where each match, and each stretch between matches, begins and ends. A match may be empty, but not where the one before it ends, as
 * in Oniguruma's Rust binding.
 */
export const piecesOf = (source: string) => {
  const pattern = translate(source)
  const here = new RegExp(pattern, "vy")
  const ahead = new RegExp(pattern, "gv")
  return (text: string, piece: (from: number, to: number, matches: boolean) => void) => {
    let end = 0
    // Where the search goes on: past the end of the last piece where an empty match there was left out.
    let from = 0
    while (from <= text.length && text !== "") {
      here.lastIndex = from
      // Most matches begin where the one before ended: these need no array.
      if (here.test(text) && here.lastIndex > from) {
        if (from > end) piece(end, from, false)
        piece(from, here.lastIndex, true)
        end = here.lastIndex
        from = end
        continue
      }
      ahead.lastIndex = from
      const match = ahead.exec(text)
      if (match === null) break
      const to = match.index + match[0].length
      if (to === match.index && to === end && end > 0) {
        from = to + (text.codePointAt(to)! > 0xffff ? 2 : 1)
        continue
      }
      if (match.index > end) piece(end, match.index, false)
      piece(match.index, to, true)
      end = to
      from = to
      if (to === match.index) from += text.codePointAt(to)! > 0xffff ? 2 : 1
    }
    if (end < text.length) piece(end, text.length, false)
  }
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
