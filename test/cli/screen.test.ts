import * as fc from "fast-check"
import { expect, test } from "vitest"
import * as Screen from "../../src/cli/screen.ts"
import { Terminal } from "./terminal.ts"

test("whatever is printed and drawn, the lines that stay are above the newest of those that change", () => {
  const line = fc.string({ unit: fc.constantFrom(..."abc"), maxLength: 20 })
  const call = fc.oneof(
    fc.record({ do: fc.constant("print" as const), lines: fc.array(line, { maxLength: 3 }) }),
    fc.record({ do: fc.constant("draw" as const), lines: fc.array(line, { maxLength: 4 }) }),
    fc.record({ do: fc.constant("foreign" as const), lines: fc.array(line, { minLength: 1, maxLength: 2 }) })
  )
  fc.assert(
    fc.property(fc.array(call, { maxLength: 20 }), (calls) => {
      const terminal = new Terminal(20)
      const screen = Screen.open(terminal)
      const stay: Array<string> = []
      let change: ReadonlyArray<string> = []
      for (const { do: what, lines } of calls) {
        if (what === "draw") {
          screen.draw(lines)
          change = lines
        } else {
          if (what === "print") screen.print(lines)
          else screen.foreign(`${lines.join("\n")}\n`)
          stay.push(...lines)
        }
        const seen = [...stay, ...change]
        while (seen.at(-1) === "") seen.pop()
        expect(terminal.screen).toEqual(seen)
      }
      expect(terminal.cursorShown).toBe(false)
      screen.close()
      expect(terminal.cursorShown).toBe(true)
      while (stay.at(-1) === "") stay.pop()
      expect(terminal.screen).toEqual(stay)
    })
  )
})

test("only lines that changed are written again, and nothing where none did", () => {
  const terminal = new Terminal(40)
  const screen = Screen.open(terminal)
  screen.draw(["pretrain 1/9", "3 stages"])
  terminal.written = ""
  screen.draw(["pretrain 2/9", "3 stages"])
  expect(terminal.written).toContain("pretrain 2/9")
  expect(terminal.written).not.toContain("3 stages")
  terminal.written = ""
  screen.draw(["pretrain 2/9", "3 stages"])
  expect(terminal.written).toBe("")
})

test("text of others that does not end its line waits until it does, or until the screen closes", () => {
  const terminal = new Terminal(40)
  const screen = Screen.open(terminal)
  screen.draw(["running"])
  screen.foreign("half")
  expect(terminal.screen).toEqual(["running"])
  screen.foreign(" a line\nand")
  expect(terminal.screen).toEqual(["half a line", "running"])
  screen.close()
  expect(terminal.screen).toEqual(["half a line", "and"])
})
