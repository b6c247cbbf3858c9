/**
 * Splitting a text into the words that are encoded one by one: the pre-tokenizers of byte-level tokenizers.
 *
 * @since 0.1.0
 */

/** Calls `word` with each piece of the text, in order; together the pieces are the text that is encoded. */
export type Split = (text: string, word: (piece: string) => void) => void

/** GPT-2's pattern, with `\s` as Unicode's White_Space (which JavaScript's own `\s` is not: U+0085, U+FEFF). */
export const GPT2_PATTERN = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** A pattern in the syntax of Hugging Face tokenizers (Oniguruma) as JavaScript's. Throws if JavaScript has no such syntax. */
const translate = (source: string): string =>
  source.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}")

/**
 * Each match of the pattern is a piece, and so is each stretch between matches unless `onlyMatches`. Throws if JavaScript has no such
 * pattern.
 */
export const splitByPattern = (source: string, onlyMatches = false): Split => {
  const here = new RegExp(translate(source), "uy")
  const ahead = new RegExp(translate(source), "gu")
  return (text, word) => {
    let end = 0
    while (end < text.length) {
      here.lastIndex = end
      if (here.test(text) && here.lastIndex > end) {
        word(text.slice(end, here.lastIndex))
        end = here.lastIndex
        continue
      }
      const next = nextMatch(ahead, text, end)
      if (!onlyMatches) word(text.slice(end, next))
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

/** Splits by one splitter after another. */
export const splitInTurn = (splits: ReadonlyArray<Split>): Split =>
  splits.length === 1
    ? splits[0]!
    : (text, word) => {
        const from = (index: number, piece: string): void => {
          const split = splits[index]
          if (split === undefined) word(piece)
          else split(piece, (part) => from(index + 1, part))
        }
        from(0, text)
      }
