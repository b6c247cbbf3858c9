/** A terminal in memory: enough of one to see what a person would. */
import { width } from "../../src/cli/render/width.ts"

const escapeCode = "\u001b"
const sequence = new RegExp(`^${escapeCode}\\[(\\??)(\\d*)([A-Za-z])`)

export class Terminal {
  columns: number
  rows = 24
  cursorShown = true
  /** What was written since it was last set to the empty text. */
  written = ""
  private lines: Array<string> = [""]
  private row = 0
  private column = 0

  constructor(columns: number) {
    this.columns = columns
  }

  write(text: string): void {
    this.written += text
    for (let at = 0; at < text.length; ) {
      const found = sequence.exec(text.slice(at))
      if (found === null) this.put(text[at++]!)
      else {
        this.control(found[1]!, Number(found[2] || "1"), found[3]!)
        at += found[0].length
      }
    }
  }

  /** The lines that are seen, without blank ones at the end. */
  get screen(): ReadonlyArray<string> {
    const lines = this.lines.map((line) => line.trimEnd())
    while (lines.at(-1) === "") lines.pop()
    return lines
  }

  private put(character: string): void {
    if (character === "\r") this.column = 0
    else if (character === "\n") this.down()
    else {
      if (this.column + width(character) > this.columns) this.down()
      const line = this.lines[this.row]!.padEnd(this.column)
      this.lines[this.row] = line.slice(0, this.column) + character + line.slice(this.column + 1)
      this.column += width(character)
    }
  }

  private down(): void {
    this.row++
    this.column = 0
    this.lines[this.row] ??= ""
  }

  private control(mark: string, n: number, letter: string): void {
    if (mark === "?") {
      if (n === 25) this.cursorShown = letter === "h"
    } else if (letter === "A") {
      if (n > this.row) throw new Error(`the cursor was moved ${n} up from row ${this.row}`)
      this.row -= n
    } else if (letter === "K") this.lines[this.row] = this.lines[this.row]!.slice(0, this.column)
    else if (letter === "J") {
      this.lines[this.row] = this.lines[this.row]!.slice(0, this.column)
      this.lines.length = this.row + 1
    } else if (letter !== "m") throw new Error(`unknown sequence ${letter}`)
  }
}
