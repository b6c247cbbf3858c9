/** The emulator finds what it is there to find, or what the kernels' tests say would mean little. */
import { assert, it } from "@effect/vitest"
import koffi from "koffi"
import { loadEmulator } from "./emulator.ts"

const file = "../../../../test/device/cuda/faulty.cu"
const emulate = loadEmulator([file])

/** Runs a kernel of one block of 64 threads on 256 floats, all of them 3. */
const run = async (entry: string, sharedFloats: number, seed: number) => {
  const out = koffi.alloc("float", 256)
  const floats = new Float32Array(koffi.view(out, 1024)).fill(3)
  const parameter = koffi.alloc("uint64_t", 1)
  new BigUint64Array(koffi.view(parameter, 8))[0] = koffi.address(out)
  const table = koffi.alloc("uint64_t", 1)
  new BigUint64Array(koffi.view(table, 8))[0] = koffi.address(parameter)
  const problem = (await emulate)(file, entry, [1, 1, 1], [64, 1, 1], sharedFloats * 4, koffi.address(table), seed)
  return { problem, floats: Array.from(floats) }
}

it("a missing barrier: what is read depends on the order of threads", async () => {
  const [ascending, shuffled] = [await run("missingBarrier", 64, 0), await run("missingBarrier", 64, 5)]
  assert.isNull(ascending.problem)
  assert.isTrue(Number.isNaN(ascending.floats[0]), "what is not written yet is no number")
  assert.notDeepEqual(ascending.floats, shuffled.floats)
})

it("a barrier that some threads never reach", async () => {
  assert.include((await run("divergentBarrier", 0, 0)).problem, "wait at a barrier that others never reach")
})

it("a write past the end of shared memory", async () => {
  assert.include((await run("pastShared", 64, 0)).problem, "a write outside dynamic shared memory, at byte 256 of 256")
})

it("an asynchronous copy that is read before it is waited for", async () => {
  const { floats, problem } = await run("earlyRead", 256, 0)
  assert.isNull(problem)
  assert.isTrue(Number.isNaN(floats[0]))
})

it("a shuffle of less than a warp, and a kernel that is not there", async () => {
  assert.include((await run("partOfWarp", 0, 0)).problem, "a collective of less than a whole warp")
  assert.include((await run("nothing", 0, 0)).problem, "no kernel is named nothing")
})
