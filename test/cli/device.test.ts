/** Which device a command computes on, by what there is: each command in a process of its own. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, expect, test } from "vitest"
import { Folder } from "./command-line.ts"

const folder = new Folder()
afterAll(() => folder.remove())

/** A machine without a GPU and without a compiler: nothing is in its PATH. */
const empty = path.join(folder.root, "no-programs")
fs.mkdirSync(empty)
const noGpu = { CUDA_VISIBLE_DEVICES: "" }
const bare = { ...noGpu, PATH: empty, CXX: "" }

const words = ["whale ", "storm ", "Ahab, "]
folder.write("text.txt", Array.from({ length: 400 }, (_, i) => words[(i * i * 7 + (i >> 3)) % 3]).join(""))
const pipeline = fileURLToPath(new URL("../../pipelines/char-gpt.ts", import.meta.url))
const small = { text: "text.txt", layers: 1, heads: 2, width: 16, context: 16, batch: 4, steps: 4 }
const args = [pipeline, ...Object.entries(small).flatMap(([name, value]) => ["--set", `${name}=${value}`])]

test("without a C++ compiler TensorFlow.js computes, which is said and recorded; with one the CPU device has other bits", async () => {
  const ran = await folder.start(["run", ...args], { env: bare })
  expect(ran.errors).toBe("")
  expect(ran.code).toBe(0)
  expect(ran.out).toMatch(/, on tfjs: .*\(slower than cpu, for which there is no C\+\+ compiler\)/)

  const shown = await folder.start(["show", "pretrain.checkpoint"])
  expect(shown.out).toMatch(/made on +tfjs, TensorFlow\.js/)
  expect((await folder.start(["status"])).out).toMatch(/^ {2}on tfjs, TensorFlow\.js/m)
  const { nodes } = JSON.parse((await folder.start(["lineage", "pretrain.checkpoint", "--json"])).out)
  const places = nodes.map(({ ranOn, stage }: { stage: string; ranOn?: { kind: string } }) => [stage, ranOn?.kind])
  expect(places).toContainEqual(["pretrain", "tfjs"])
  expect(places).toContainEqual(["documents", undefined])
  expect((await folder.start(["lineage", "pretrain.checkpoint"])).out).toMatch(/pretrain\.checkpoint .* on tfjs/)

  // Asked for by name it is the same; and nothing is to be done.
  const again = await folder.start(["plan", ...args, "--device", "tfjs"], { env: noGpu })
  expect(again.code).toBe(0)
  const other = await folder.start(["plan", ...args], { env: noGpu })
  expect(other.code).toBe(2)
  expect(other.out).toMatch(/same code, other numerics/)
})

test("a device that is asked for and not there is an error that says what is missing", async () => {
  const cuda = await folder.start(["run", ...args, "--device", "cuda"], { env: bare })
  expect(cuda.code).toBe(1)
  expect(cuda.errors).toMatch(/NVIDIA|card/)
  const cpu = await folder.start(["run", ...args, "--device", "cpu"], { env: bare })
  expect(cpu.code).toBe(1)
  expect(cpu.errors).toMatch(/no C\+\+ compiler/)
})

test("doctor shows every device and which of them is taken, without a compiler too", async () => {
  const { code, out } = await folder.start(["doctor", "--json"], { env: bare })
  const found = new Map(JSON.parse(out).map((each: { name: string }) => [each.name, each]))
  expect(found.get("C++ compiler")).toMatchObject({ state: "poor" })
  expect(found.get("CPU device")).toMatchObject({ state: "absent" })
  expect(found.get("TFJS device")).toMatchObject({ state: "ok" })
  expect(found.get("Device")).toMatchObject({ state: "ok", found: expect.stringMatching(/auto takes tfjs: slower/) })
  expect(code).toBe(0)
})
