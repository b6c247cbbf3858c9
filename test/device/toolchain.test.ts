import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu, describeCpu } from "../../src/device/cpu/cpu.ts"
import { findCompiler, numerics } from "../../src/device/cpu/toolchain.ts"
import { Device } from "../../src/device/device.ts"

const folder = mkdtempSync(join(tmpdir(), "ptmflow-toolchain-"))
const { CXX, PATH } = process.env
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => {
  if (CXX === undefined) delete process.env["CXX"]
  else process.env["CXX"] = CXX
  process.env["PATH"] = PATH
})

const compiler = (name: string, script: string) => {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

const allocate = Effect.gen(function* () {
  const device = yield* Device
  yield* device.allocate(64)
})
const failure = (cacheDirectory = folder) =>
  allocate.pipe(Effect.scoped, Effect.provide(cpu({ cacheDirectory })), Effect.flip, Effect.runPromise)

describe("the toolchain of the CPU device", () => {
  it("without a compiler the error says what to install", async () => {
    delete process.env["CXX"]
    process.env["PATH"] = folder
    const { message } = await failure()
    for (const words of ["no C++ compiler", "apt-get install g++", "dnf", "apk", "xcode-select"]) {
      assert.include(message, words)
    }
    assert.include(describeCpu({ cacheDirectory: folder }).problem, "no C++ compiler")
  })

  it("a compiler that cannot compile is named with its first errors", async () => {
    const script =
      'if [ "$1" = --version ]; then echo broken 1.0; else echo "matmul.cpp:1: error: no such thing" >&2; exit 1; fi'
    process.env["CXX"] = compiler("broken-c++", script)
    const { message } = await failure()
    assert.include(message, "broken 1.0")
    assert.include(message, "matmul.cpp:1: error: no such thing")
  })

  it("a cache that cannot be written is named", async () => {
    const file = join(folder, "a-file")
    writeFileSync(file, "")
    const { message } = await failure(join(file, "cache"))
    assert.include(message, join(file, "cache"))
    assert.include(message, "PTMFLOW_CACHE")
  })

  it("another compiler, and other reals, are another build", () => {
    const identity = (real: "f32" | "f64") => numerics(findCompiler(folder), real)
    const one = identity("f32")
    assert.strictEqual(identity("f32"), one)
    assert.notStrictEqual(identity("f64"), one)
    process.env["CXX"] = compiler("other-c++", "echo other 2.0")
    assert.notStrictEqual(identity("f32"), one)
  })
})
