/**
 * Verifies for the page, in a process of its own: what a module was when it was loaded first, a process never forgets, and it can be ended.
 *
 * @since 0.1.0
 */
import { spawn } from "node:child_process"
import * as readline from "node:readline"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { PageError } from "../page/server/refusal.ts"
import type { Verifier } from "../page/server/verify.ts"
import { VerifyEvent } from "../verify/event.ts"
import type { DeviceInput } from "./device.ts"
import { another, forPage } from "./invocation.ts"

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(VerifyEvent))

/** Characters of what a process says of an error that are kept. */
const KEPT = 8_000

/** How artifacts of this store are verified. */
export const verifier = ({ device, store, threads }: DeviceInput & { readonly store: string }): Verifier => {
  const always = [
    ...["--events", "--store", store, "--device", device],
    ...Option.match(threads, { onNone: () => [], onSome: (count) => ["--threads", `${count}`] })
  ]
  return ({ artifact, depth, sample }, onEvent) =>
    Effect.callback<void, PageError>((resume) => {
      const args = [
        ...["verify", artifact, "--depth", depth === null ? "all" : `${depth}`, ...always],
        ...(sample === null ? [] : ["--sample", `${sample}`])
      ]
      const child = spawn(process.execPath, another(args), { env: forPage(), stdio: ["ignore", "pipe", "pipe"] })
      let errors = ""
      let ended = false
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        errors = `${errors}${text}`.slice(-KEPT)
      })
      readline.createInterface({ input: child.stdout }).on("line", (line) => {
        const event = Option.getOrUndefined(decode(line))
        if (event !== undefined) onEvent(event)
        else if (line.startsWith('{"format":')) ended = true
      })
      const failed = (message: string) =>
        resume(Effect.fail(new PageError({ status: 500, place: artifact, message, next: "" })))
      child.on("error", ({ message }) => failed(message))
      // Of what came to its end the code says what was found.
      child.on("close", (code, signal) => {
        if (ended) resume(Effect.void)
        else failed((errors.split("error: ").at(-1) ?? "").trim() || `ptmflow verify ended with ${signal ?? code}`)
      })
      return Effect.sync(() => child.kill("SIGTERM"))
    })
}
