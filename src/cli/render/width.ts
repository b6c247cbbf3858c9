/**
 * Text in columns of a terminal: measured, cut, padded and wrapped by display width, escape codes counting nothing.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"
import { stripVTControlCharacters } from "node:util"

// One column each: printable ASCII, and the signs that ptmflow draws with.
const narrow =
  /^[\x20-\x7e\u00b1\u00b7\u00d7\u2013\u2014\u2026\u2190-\u21ff\u2500-\u257f\u25a0-\u25ff\u2713\u2717\u2800-\u28ff]*$/
const escapeCode = "\u001b\\[[0-9;]*m"
const escapeOrNot = new RegExp(`(${escapeCode})`)

let segmenter: Intl.Segmenter | undefined

/** The characters of a text, as people see them. Making what finds them takes 10 ms. */
const graphemes = (text: string): Iterable<Intl.SegmentData> => {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" })
  return segmenter.segment(text)
}

let measure: ((text: string) => number) | undefined

/** Of any text. What measures is loaded by the first that is not plain, as most programs that end soon show none. */
const displayWidth = (text: string): number => {
  const load = createRequire(import.meta.url) as (name: string) => typeof import("effect/cli/CliOutput")
  measure ??= load("effect/cli/CliOutput").displayWidth
  return measure(text)
}

/** Columns that a text takes on a terminal. */
export const width = (text: string): number => {
  const visible = text.includes("\u001b") ? stripVTControlCharacters(text) : text
  return narrow.test(visible) ? visible.length : displayWidth(visible)
}

/** The text, or as much of it as fits with an ellipsis in `columns`. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  if (columns < 1) return ""
  let room = columns - 1
  let result = ""
  let full = false
  for (const piece of text.split(escapeOrNot)) {
    if (piece.startsWith("\u001b")) {
      result += piece
      continue
    }
    for (const { segment } of full ? [] : graphemes(piece)) {
      const taken = width(segment)
      if (taken > room) {
        full = true
        result += "…"
        break
      }
      room -= taken
      result += segment
    }
  }
  return result
}

/** The text with blanks after it up to `columns`. */
export const pad = (text: string, columns: number): string => text + " ".repeat(Math.max(0, columns - width(text)))

/** The text with blanks before it up to `columns`. */
export const padStart = (text: string, columns: number): string => " ".repeat(Math.max(0, columns - width(text))) + text

/** Cuts a text into lines of at most `columns` between words, or inside a word that is longer than a line. */
export const wrap = (text: string, columns: number): ReadonlyArray<string> =>
  text.split("\n").flatMap((paragraph) => {
    const lines: Array<string> = []
    for (const word of paragraph.split(" ")) {
      const last = lines.at(-1)
      if (last !== undefined && width(last) + 1 + width(word) <= columns) lines[lines.length - 1] = `${last} ${word}`
      else lines.push(...pieces(word, Math.max(columns, 1)))
    }
    return lines
  })

const pieces = (word: string, columns: number): ReadonlyArray<string> => {
  if (width(word) <= columns) return [word]
  const found: Array<string> = [""]
  let taken = 0
  for (const { segment } of graphemes(word)) {
    const more = width(segment)
    if (taken + more > columns) {
      found.push("")
      taken = 0
    }
    found[found.length - 1] += segment
    taken += more
  }
  return found
}

/** Text of others made safe for a terminal: control characters but the line feed are written out. */
export const printable = (text: string): string =>
  text.replaceAll("\r\n", "\n").replace(/\p{Cc}/gu, (character) => {
    if (character === "\n") return character
    if (character === "\t") return "  "
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`
  })
