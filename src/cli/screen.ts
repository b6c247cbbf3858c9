/**
 * A terminal with lines that stay, and below them a few that are rewritten: only what changed is written, in one piece.
 *
 * @since 0.1.0
 */
import { width } from "./render/width.ts"

/** What is needed of a terminal, such as `process.stdout`. */
export interface Terminal {
  readonly columns?: number
  readonly rows?: number
  write(text: string): unknown
}

const hideCursor = "\u001b[?25l"
const showCursor = "\u001b[?25h"
/** Terminals that know it show what is between as one change; others ignore it. */
const begin = "\u001b[?2026h"
const end = "\u001b[?2026l"
const up = (lines: number) => (lines === 0 ? "\r" : `\u001b[${lines}A\r`)
const clearLine = "\u001b[K"
const clearBelow = "\u001b[J"

/** Lines that stay and lines that change. */
export interface Screen {
  readonly columns: () => number
  readonly rows: () => number
  /** Adds lines that stay, above those that change. */
  readonly print: (lines: ReadonlyArray<string>) => void
  /** Replaces the lines that change. */
  readonly draw: (lines: ReadonlyArray<string>) => void
  /** Writes what another wrote to the terminal, above the lines that change. */
  readonly foreign: (text: string) => void
  /** Removes the lines that change and shows the cursor again. */
  readonly close: () => void
}

/** Takes the terminal: hides the cursor until `close`. */
export const open = (terminal: Terminal): Screen => {
  let shown: ReadonlyArray<string> = []
  let closed = false
  /** Foreign text that did not end its line stays open until it does. */
  let openLine = ""
  const columns = () => Math.max(terminal.columns ?? 80, 20)
  // Lines drawn before the window became narrower take several rows now.
  const height = () => shown.reduce((sum, line) => sum + Math.max(1, Math.ceil(width(line) / columns())), 0)
  const block = (lines: ReadonlyArray<string>) => lines.map((line) => `${line}${clearLine}\n`).join("")
  const above = (text: string) => {
    if (closed) terminal.write(text)
    else terminal.write(`${begin}${up(height())}${clearBelow}${text}${block(shown)}${end}`)
  }
  terminal.write(hideCursor)
  return {
    columns,
    rows: () => Math.max(terminal.rows ?? 24, 4),
    print: (lines) => {
      if (lines.length > 0) above(lines.map((line) => `${line}\n`).join(""))
    },
    draw: (lines) => {
      if (closed) return
      const same = lines.length === shown.length && height() === shown.length
      if (same && lines.every((line, i) => line === shown[i])) return
      const changed = same
        ? lines.map((line, i) => (line === shown[i] ? "\n" : `${line}${clearLine}\n`)).join("")
        : block(lines)
      terminal.write(`${begin}${up(height())}${same ? "" : clearBelow}${changed}${end}`)
      shown = lines
    },
    foreign: (text) => {
      if (closed) {
        terminal.write(text)
        return
      }
      const whole = openLine + text
      const cutAt = whole.lastIndexOf("\n") + 1
      openLine = whole.slice(cutAt)
      if (cutAt > 0) above(whole.slice(0, cutAt))
    },
    close: () => {
      if (closed) return
      if (openLine !== "") above(`${openLine}\n`)
      terminal.write(`${up(height())}${clearBelow}${showCursor}`)
      closed = true
    }
  }
}
