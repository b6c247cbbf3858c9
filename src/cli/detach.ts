/**
 * `ptmflow run --detach`: starts a run that goes on when the terminal is closed.
 *
 * @since 0.1.0
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { processOf } from "../store/holder.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { encodeAbout, filesOf } from "./detached.ts"
import { CommandError } from "./failure.ts"
import { another, program } from "./invocation.ts"
import { loadGraph } from "./load.ts"
import { printJson, printLines } from "./output.ts"
import type { RunInput } from "./run.ts"

/** Milliseconds between two looks at a run that starts. */
const PAUSE = 50

/** Starts the run in a session of its own, and waits until it has begun, or has failed to. */
export const detach = Effect.fnUntraced(function* (input: RunInput) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const time = yield* Clock.currentTimeMillis
  const name = `${new Date(time).toISOString().slice(0, 19).replaceAll(":", "-")}-${randomBytes(3).toString("hex")}`
  const files = filesOf(input.store, name)
  yield* Effect.provide(
    Effect.flatMap(Store, ({ prepare }) => prepare),
    storeLayer(input.store)
  )
  const args = process.argv.slice(2).filter((arg) => !/^--(detach|json)(=.*)?$/.test(arg))
  const child = yield* Effect.try({
    try: () => {
      fs.mkdirSync(files.folder, { recursive: true })
      const [out, errors] = [fs.openSync(files.events, "a"), fs.openSync(files.errors, "a")]
      const child = spawn(process.execPath, another([...args, "--json"]), {
        detached: true,
        stdio: ["ignore", out, errors]
      })
      fs.closeSync(out)
      fs.closeSync(errors)
      return child
    },
    catch: (cause) => new CommandError({ place: files.folder, message: `the run cannot start: ${cause}`, next: "" })
  })
  const ended = { code: undefined as number | null | undefined }
  child.on("error", () => {
    ended.code = 1
  })
  child.on("exit", (code) => {
    ended.code = code
  })
  const { description, outputs, pipeline } = graph
  const stages = graph.stages.map(({ inputs, name, operator, partition }) => ({
    name,
    operator: { name: operator.name },
    inputs,
    ...(partition === undefined ? {} : { partition })
  }))
  const pid = child.pid ?? 0
  const about = { name, time, holder: processOf(pid), args, pipeline, description, stages, outputs }
  fs.writeFileSync(files.about, encodeAbout(about))
  while (ended.code === undefined && !hasBegun(files.events)) yield* Effect.sleep(PAUSE)
  if (!hasBegun(files.events)) {
    if (input.json) process.stdout.write(fs.readFileSync(files.events, "utf8"))
    process.stderr.write(fs.readFileSync(files.errors, "utf8"))
    fs.rmSync(files.folder, { recursive: true })
    process.exitCode = ended.code ?? 1
    return
  }
  child.unref()
  if (input.json) return yield* printJson({ detached: name, pid })
  yield* printLines([
    `${pipeline} runs in the background as ${name}, process ${pid}. To see it, or to end it:`,
    `  ${program()} attach ${name}${where(input.store)}`,
    `  ${program()} stop ${name}${where(input.store)}`
  ])
})

/** Whether there is an event: a run that cannot begin writes its error alone. */
const hasBegun = (file: string): boolean => {
  const text = fs.readFileSync(file, "utf8")
  return text !== "" && !text.startsWith('{"error"')
}

const where = (store: string): string => (store === ".ptmflow" ? "" : ` --store ${store}`)
