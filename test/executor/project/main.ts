/**
 * `node main.ts <plan|run> <pipeline> <store> [path=value ...]`: prints events as JSON lines, and last the report, the plan or the error.
 * With `PTMFLOW_TEST_KILL="<n> <before|within|after>"` it kills itself at the n-th change of the disk. With `PTMFLOW_TEST_REMOTE=<folder>` it shares
 * results there, and `PTMFLOW_TEST_REMOTE_KILL` kills it at the n-th change of that. `PTMFLOW_TEST_SILENCE` is after how many milliseconds without a
 * heartbeat a holder is dead, `PTMFLOW_TEST_HOST` a host that it says it is on: of others' processes there it cannot tell whether they live.
 */
import * as Effect from "effect/Effect"
import { plan } from "../../../src/executor/plan.ts"
import { run } from "../../../src/executor/run.ts"
import * as Pipeline from "../../../src/pipeline/pipeline.ts"
import { CurrentDisk, nodeDisk } from "../../../src/store/disk.ts"
import { type Holder, isAlive, Processes, thisProcess } from "../../../src/store/holder.ts"
import { LeaseSilence } from "../../../src/store/lease.ts"
import { folderRemote } from "../../../src/store/remote/folder.ts"
import { CurrentRemote } from "../../../src/store/remote/remote.ts"
import * as Store from "../../../src/store/store.ts"
import { killingDisk, type When } from "./killing.ts"

const [command, file, folder, ...settings] = process.argv.slice(2)
const { pipeline } = (await import(`./${file}`)) as { readonly pipeline: Pipeline.Pipeline<unknown, never> }
const print = (value: unknown) => Effect.sync(() => process.stdout.write(`${JSON.stringify(value)}\n`))

const main = Effect.gen(function* () {
  const graph = yield* Pipeline.build(
    pipeline,
    settings.map((setting) => {
      const [path, value] = setting.split("=")
      return { path: path!, value: value! }
    })
  )
  yield* print(command === "plan" ? yield* plan(graph) : yield* run(graph, { onEvent: print }))
})

const diskOf = (kill: string | undefined) => {
  const [at, when] = kill?.split(" ") ?? []
  return at === undefined ? nodeDisk : killingDisk(Number(at), when as When)
}
const shared = process.env["PTMFLOW_TEST_REMOTE"]
const remote =
  shared === undefined
    ? undefined
    : { objects: folderRemote(shared, diskOf(process.env["PTMFLOW_TEST_REMOTE_KILL"])), policy: "normal" as const }

const silence = process.env["PTMFLOW_TEST_SILENCE"]
const host = process.env["PTMFLOW_TEST_HOST"]
const processes =
  host === undefined
    ? {}
    : {
        thisProcess: () => ({ ...thisProcess(), host, space: host }),
        isAlive: (holder: Holder) =>
          holder.space === host ? isAlive({ ...holder, space: thisProcess().space }) : undefined
      }

const fiber = Effect.runFork(
  main.pipe(
    Effect.provide(Store.layer(folder!)),
    Effect.provideService(CurrentDisk, diskOf(process.env["PTMFLOW_TEST_KILL"])),
    Effect.provideService(CurrentRemote, remote),
    Effect.provideService(LeaseSilence, silence === undefined ? 60_000 : Number(silence)),
    Effect.provideService(Processes, { pid: process.pid, thisProcess, isAlive, ...processes }),
    Effect.catch((error) =>
      Effect.andThen(
        print(error),
        Effect.sync(() => process.exit(1))
      )
    )
  )
)
process.on("SIGINT", () => fiber.interruptUnsafe())
