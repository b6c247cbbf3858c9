import * as fc from "fast-check"
import { expect, test } from "vitest"
import { cut, pad, padStart, printable, width, wrap } from "../../src/cli/render/width.ts"

const texts = fc.string({
  unit: fc.constantFrom(..."ab c", "漢", "é", "👩‍👩‍👧", "\u001b[31m", "\u001b[39m", "─", "…"),
  maxLength: 40
})
const escapeCode = "\u001b"
const code = new RegExp(`${escapeCode}\\[\\d+m`, "g")
const withoutCodes = (text: string) => text.replaceAll(code, "")

test("width counts columns: two for wide characters, one for a family, none for escape codes and marks", () => {
  expect(["abc", "漢字", "é", "e\u0301", "\u001b[1mab\u001b[22m", "━╸─✓●…"].map(width)).toEqual([3, 4, 1, 1, 2, 6])
})

test("cut never exceeds its columns, keeps what fits whole, and all escape codes", () => {
  fc.assert(
    fc.property(texts, fc.integer({ min: 0, max: 30 }), (text, columns) => {
      const result = cut(text, columns)
      expect(width(result)).toBeLessThanOrEqual(columns)
      if (width(text) <= columns) expect(result).toBe(text)
      else if (columns > 0) {
        expect(withoutCodes(result).endsWith("…")).toBe(true)
        expect(withoutCodes(text).startsWith(withoutCodes(result).slice(0, -1))).toBe(true)
        expect(result.match(code)).toEqual(text.match(code))
      }
    })
  )
})

test("wrap loses nothing but the blanks and line ends that it breaks at", () => {
  const plain = fc.string({ unit: fc.constantFrom(..."abc  \n", "漢"), maxLength: 60 })
  fc.assert(
    fc.property(plain, fc.integer({ min: 2, max: 20 }), (text, columns) => {
      const lines = wrap(text, columns)
      for (const line of lines) expect(width(line)).toBeLessThanOrEqual(columns)
      expect(lines.join("").replaceAll(" ", "")).toBe(text.replaceAll(/[ \n]/g, ""))
    })
  )
  expect(wrap("one two three", 7)).toEqual(["one two", "three"])
  expect(wrap("a\n\nb", 9)).toEqual(["a", "", "b"])
  expect(wrap("abcdefgh", 3)).toEqual(["abc", "def", "gh"])
})

test("padding counts columns, not characters", () => {
  expect([pad("漢", 4), padStart("漢", 4), pad("abcde", 4)]).toEqual(["漢  ", "  漢", "abcde"])
})

test("text of others cannot move the cursor", () => {
  expect(printable("a\u001b[2Jb\tc\r\nd\u0007")).toBe("a\\x1b[2Jb  c\nd\\x07")
})
