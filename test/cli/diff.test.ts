/** `ptmflow diff` from the command line. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { counting, Folder } from "./command-line.ts"

let folder: Folder
beforeAll(() => {
  folder = new Folder()
})
afterAll(() => folder.remove())

test("diff names the parameter that made a result another one, and where it is", async () => {
  const first = await folder.start(["run", counting, "--json"])
  const { run } = JSON.parse(first.out.split("\n")[0]!) as { readonly run: string }
  expect((await folder.start(["run", counting, "--set", "count.steps=7"])).code).toBe(0)
  const same = await folder.start(["diff", "last", "last"])
  expect(same.out).toContain("They are the same")
  expect(same.code).toBe(0)
  const other = await folder.start(["diff", "last", "last", "--as-of", run])
  expect(other.out).toMatch(/^again\.3\.number \w{12} -> again\.3\.number \w{12}\n\ncount {2}parameter steps: 5 -> 7\n/)
  expect(other.code).toBe(2)
  const json = await folder.start(["diff", "last", "last", "--as-of", run, "--json"])
  const { causes, format } = JSON.parse(json.out) as { causes: ReadonlyArray<unknown>; format: number }
  expect(format).toBe(1)
  expect(causes).toMatchObject([{ a: "count", b: "count", kind: "parameter", place: "steps", from: 5, to: 7 }])
  const none = await folder.start(["diff", "last", "nothing"])
  expect(none.errors).toContain("there is no nothing")
  expect(none.code).toBe(1)
})
