/** Questions of a ledger as people ask them: of the page's server, a process that has the store open, and of a command, its start included. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../bin/ptmflow.mjs", import.meta.url))

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

/** Addresses of the page, from the request to the last byte of the answer. Its server has just been started for each. */
export const ofPage = async (root: string, questions: ReadonlyArray<readonly [string, string]>) => {
  const asked: Array<Asked> = []
  for (const [question, path] of questions) {
    const server = spawn(process.execPath, [bin, "serve", "--port", "0", "--store", root, "--json"])
    try {
      const [line] = await once(createInterface(server.stdout), "line")
      const { address } = JSON.parse(line)
      // The connection, and the client's own code.
      await (await fetch(address)).arrayBuffer()
      const ask = async () => {
        const response = await fetch(`${address}${path}`)
        const { byteLength } = await response.arrayBuffer()
        if (!response.ok || byteLength === 0) throw new Error(`${path}: ${response.status}`)
      }
      asked.push([question, await repeated(ask)])
    } finally {
      server.kill()
    }
  }
  return asked
}

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
