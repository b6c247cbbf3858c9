/**
 * `ptmflow verify`: proves an artifact by running what made it again.
 *
 * @since 0.1.0
 */
import { randomInt } from "node:crypto"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Device } from "../device/device.ts"
import { resolve } from "../lineage/ledger.ts"
import type { RunRecord } from "../lineage/record.ts"
import type { Graph, Setting } from "../pipeline/graph.ts"
import { type AnyPipeline, build, buildAgain } from "../pipeline/pipeline.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import * as Verify from "../verify/verify.ts"
import { type DeviceInput, layer as deviceLayer } from "./device.ts"
import { CommandError } from "./failure.ts"
import { loadPipeline } from "./load.ts"
import { printErrors, printJson, printLines, viewOf } from "./output.ts"
import { due } from "./plan.ts"
import { verdictLines, verificationLines } from "./render/verified.ts"
import { takeOver } from "./takeover.ts"

/** The exit code that says that something cannot be verified with what is here today. */
const notVerifiable = 3

interface VerifyInput extends DeviceInput {
  readonly artifact: string
  readonly depth: number
  readonly sample: Option.Option<number>
  readonly pipeline: Option.Option<string>
  readonly set: ReadonlyArray<Setting>
  readonly asOf: Option.Option<string>
  readonly store: string
  readonly json: boolean
}

/** The graph of a run: of its own file and with its own parameters, unless others are typed. */
const graphOf = ({ pipeline, set }: VerifyInput, folder: string) =>
  Effect.fnUntraced(function* (run: RunRecord | undefined, name: string) {
    const known = run?.file === undefined ? undefined : path.relative("", path.resolve(folder, run.file))
    const file = Option.getOrElse(pipeline, () => known)
    if (file === undefined) {
      const message = `it is not known which file pipeline ${name} is in`
      return yield* new CommandError({ place: "", message, next: "Name it: --pipeline pipelines/mine.ts" })
    }
    const loaded = (yield* loadPipeline(file)) as AnyPipeline<Device>
    if (loaded.name !== name) {
      const message = `${file} has pipeline ${loaded.name}, and it was made by ${name}`
      return yield* new CommandError({ place: "", message, next: "Name the file of that one: --pipeline" })
    }
    const graph: Graph<Device> = yield* set.length > 0 || run === undefined
      ? build(loaded, set)
      : buildAgain(loaded, run)
    return graph
  })

/** Verifies, and prints each stage as it is done. */
export const verify = Effect.fnUntraced(
  function* (input: VerifyInput) {
    const { folder } = yield* Store
    const made = yield* resolve(input.artifact, { asOf: Option.getOrUndefined(input.asOf) })
    const view = viewOf(process.stdout)
    const sample = Option.map(input.sample, (share) => ({ share, seed: randomInt(2 ** 32) }))
    // What operators print goes to standard error: standard output has what was found.
    const taken = Effect.acquireRelease(
      Effect.sync(() => takeOver(process.stdout, (text) => process.stderr.write(text))),
      ({ release }) => Effect.sync(release)
    )
    const verifying = Effect.flatMap(taken, ({ write }) =>
      Verify.verify(made, graphOf(input, folder), {
        depth: input.depth,
        ...(Option.isSome(sample) ? { sample: sample.value } : {}),
        ...(input.device === "auto" ? {} : { device: input.device }),
        onStage: ({ stage }) =>
          !input.json && process.stderr.isTTY ? printErrors([view.style.faint(`${stage} runs again`)]) : Effect.void,
        onVerdict: (verified) =>
          Effect.sync(() => (input.json ? undefined : write(`${verdictLines(verified, view).join("\n")}\n`)))
      })
    )
    const found = yield* Effect.scoped(verifying).pipe(Effect.provide(deviceLayer(input)))
    yield* input.json ? printJson({ format: 1, ...found }) : printLines(verificationLines(found, view))
    const verdicts = new Set(found.stages.map(({ verdict }) => verdict))
    if (verdicts.has("differs")) process.exitCode = due
    else if (verdicts.has("failed")) process.exitCode = 1
    else if (!found.proven) process.exitCode = notVerifiable
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
