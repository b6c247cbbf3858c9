import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { findLibrary, missingLibrary, searchFolders } from "../../../src/device/cuda/library-search.ts"

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ptmflow-libraries-"))
})
afterEach(() => rmSync(root, { recursive: true }))

const put = (path: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), "")
  return join(root, path)
}
/** With nothing of this machine but its own Python, whose packages come last. */
const folders = (environment: { readonly [name: string]: string }, usualFolders: ReadonlyArray<string> = []) =>
  searchFolders({ environment: { HOME: root, PATH: "", ...environment }, usualFolders })

describe("CUDA's libraries are found", () => {
  it("in LD_LIBRARY_PATH before CUDA_HOME, and there before the usual folders", () => {
    const usual = put("usual/libnvrtc.so.12")
    const home = put("toolkit/targets/x86_64-linux/lib/libnvrtc.so.12")
    const own = put("own/libnvrtc.so.12")
    const path = (environment: { readonly [name: string]: string }) =>
      findLibrary("nvrtc", folders(environment, [dirname(usual)]))?.path
    assert.strictEqual(path({}), usual)
    if (process.arch === "x64") assert.strictEqual(path({ CUDA_HOME: join(root, "toolkit") }), home)
    if (process.arch === "x64") assert.strictEqual(path({ CUDA_PATH: join(root, "toolkit") }), home)
    const named = { CUDA_HOME: join(root, "toolkit"), LD_LIBRARY_PATH: `/nowhere::${dirname(own)}` }
    assert.strictEqual(path(named), own)
  })

  it("in Python's packages, as CUDA 12 and as CUDA 13 lay them out, of PYTHONPATH, an environment, the Python on PATH", () => {
    const twelve = put("env/lib/python3.11/site-packages/nvidia/cublas/lib/libcublasLt.so.12")
    const thirteen = put("sites/nvidia/cu13/lib/libcublasLt.so.13")
    const path = (environment: { readonly [name: string]: string }) =>
      findLibrary("cublasLt", folders(environment))?.path
    assert.strictEqual(path({ VIRTUAL_ENV: join(root, "env") }), twelve)
    assert.strictEqual(path({ PYTHONPATH: join(root, "sites") }), thirteen)
    put("env/bin/python3")
    assert.strictEqual(path({ PATH: `/nowhere:${join(root, "env/bin")}` }), twelve)
  })

  it("the newest that the driver can work with", () => {
    const [old, young] = [put("a/libnvrtc.so.12"), put("b/libnvrtc.so.13")]
    const both = [dirname(old), dirname(young)]
    assert.deepStrictEqual(findLibrary("nvrtc", both), { path: young, major: 13 })
    assert.deepStrictEqual(findLibrary("nvrtc", both, 12), { path: old, major: 12 })
    assert.isNull(findLibrary("nvrtc", [dirname(young)], 12))
    assert.isNull(findLibrary("driver", both))
  })

  it("or what to do is said: which file, where was looked, how to get it", () => {
    const message = missingLibrary("cublasLt", [join(root, "a"), join(root, "b")], 12)
    assert.match(message, /^libcublasLt\.so\.12 \(cuBLASLt, .*pip install nvidia-cublas/)
    assert.notInclude(message, "so.13")
    assert.include(message, `${join(root, "a")}, ${join(root, "b")}`)
    assert.include(missingLibrary("driver", []), "no folder that exists")
  })
})
