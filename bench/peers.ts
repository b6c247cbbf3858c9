/** Finds the peers that are installed on this machine. */
import { execFile } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import type { Command } from "./worker.ts"

/** How to start a peer, or how to get it. */
export type Peer =
  | { readonly found: true; readonly version: string; readonly command: Command; readonly notes: string }
  | { readonly found: false; readonly message: string }

export interface Peers {
  readonly torch: Peer
  readonly tfjs: Peer
  readonly tokenizers: Peer
}

const folder = join(import.meta.dirname, "peers")
const execute = promisify(execFile)

/** tcmalloc, which the peer's users load before Python because it allocates faster. */
const findTcmalloc = (): string | undefined => {
  const triple = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu"
  for (const place of [`/usr/lib/${triple}`, "/usr/lib64", "/usr/lib", "/usr/local/lib"]) {
    const name = existsSync(place) && readdirSync(place).find((file) => /^libtcmalloc(_minimal)?\.so\.\d+$/.test(file))
    if (name) return join(place, name)
  }
  return undefined
}

const findTorch = async (): Promise<Peer> => {
  const named = process.env["PTMFLOW_BENCH_PYTHON"]
  const own = join(folder, ".venv/bin/python")
  for (const file of named !== undefined ? [named] : existsSync(own) ? [own] : ["python3"]) {
    try {
      const { stdout } = await execute(file, ["-c", "import torch; print(torch.__version__)"])
      const tcmalloc = findTcmalloc()
      return {
        found: true,
        version: `PyTorch ${stdout.trim()}`,
        command: {
          file,
          arguments: ["-u", join(folder, "torch_serve.py")],
          // Its threads wait by spinning: a side that is not measured stands still, so that this costs the others nothing.
          environment: { OMP_WAIT_POLICY: "active", ...(tcmalloc === undefined ? {} : { LD_PRELOAD: tcmalloc }) }
        },
        notes: tcmalloc === undefined ? "the C library's malloc" : "tcmalloc"
      }
    } catch {
      // The next one may have it.
    }
  }
  return { found: false, message: `no PyTorch: ${named ?? "see docs/benchmarks.md for how to install it"}` }
}

const findTfjs = (): Peer => {
  const modules = join(folder, "tfjs/node_modules/@tensorflow")
  if (!existsSync(join(modules, "tfjs-backend-wasm"))) {
    return { found: false, message: "no TensorFlow.js: see docs/benchmarks.md for how to install it" }
  }
  const command = { file: process.execPath, arguments: [join(folder, "tfjs/serve.mjs")] }
  return { found: true, version: "", command, notes: "" }
}

const findTokenizers = (): Peer => {
  if (!existsSync(join(folder, "tokenizers/node_modules/tiktoken"))) {
    return { found: false, message: "no tokenizers of npm: see docs/benchmarks.md for how to install them" }
  }
  const command = { file: process.execPath, arguments: [join(folder, "tokenizers/serve.mjs")] }
  return { found: true, version: "", command, notes: "" }
}

export const findPeers = async (): Promise<Peers> => ({
  torch: await findTorch(),
  tfjs: findTfjs(),
  tokenizers: findTokenizers()
})
