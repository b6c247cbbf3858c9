/** Questions of a ledger as people ask them: of the page's server, which has the store open, and of a command, its start included. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { cpu } from "../src/device/cpu/cpu.ts"
import { serve } from "../src/page/server/serve.ts"
import { layer } from "../src/store/store.ts"

const REPEATS = 5

/** A question, and the milliseconds until it was answered, each time that it was asked. */
export type Asked = readonly [question: string, times: ReadonlyArray<number>]

const repeated = async (ask: () => Promise<void> | void): Promise<ReadonlyArray<number>> => {
  const times: Array<number> = []
  for (let i = 0; i < REPEATS; i++) {
    const began = performance.now()
    await ask()
    times.push(performance.now() - began)
  }
  return times
}

/** Addresses of the page, from the request to the last byte of the answer. */
export const ofPage = (root: string, questions: ReadonlyArray<readonly [string, string]>) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const { address } = yield* serve({ host: "127.0.0.1", port: 0, device: cpu({ threads: 1 }) })
      return yield* Effect.forEach(questions, ([question, path]) =>
        Effect.promise(async (): Promise<Asked> => {
          const ask = async () => {
            const response = await fetch(`${address}${path}`)
            const { byteLength } = await response.arrayBuffer()
            if (!response.ok || byteLength === 0) throw new Error(`${path}: ${response.status}`)
          }
          return [question, await repeated(ask)]
        })
      )
    }).pipe(Effect.scoped, Effect.provide(layer(root)))
  )

const bin = fileURLToPath(new URL("../bin/ptmflow.mjs", import.meta.url))

/** Commands, from the start of the process to its end. */
export const ofCommands = async (root: string, questions: ReadonlyArray<readonly [string, ReadonlyArray<string>]>) => {
  const asked: Array<Asked> = []
  for (const [question, args] of questions) {
    const ask = () => {
      const { status, stderr } = spawnSync(process.execPath, [bin, ...args, "--store", root])
      if (status !== 0 && !(args[0] === "diff" && status === 2)) throw new Error(`${args.join(" ")}: ${stderr}`)
    }
    asked.push([question, await repeated(ask)])
  }
  return asked
}
