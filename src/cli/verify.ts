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
import { exactly, exactReference } from "../lineage/exact.ts"
import { resolve } from "../lineage/ledger.ts"
import type { RunRecord, StageRecord } from "../lineage/record.ts"
import type { Verified } from "../lineage/verified.ts"
import type { Progress } from "../operator/stage.ts"
import type { Graph, Setting } from "../pipeline/graph.ts"
import { type AnyPipeline, build, buildAgain } from "../pipeline/pipeline.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import type { VerifyEvent } from "../verify/event.ts"
import * as Verify from "../verify/verify.ts"
import { type DeviceInput, layer as deviceLayer } from "./device.ts"
import { CommandError } from "./failure.ts"
import { loadPipeline } from "./load.ts"
import { printErrors, printJson, printLines, viewOf } from "./output.ts"
import { due } from "./plan.ts"
import { verdictLines, verificationLines } from "./render/verified.ts"
import type { View } from "./render/view.ts"
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
  readonly events: boolean
}

/** Milliseconds between two lines that say how far a stage is. */
const PACE = 200

/** What is told while it goes on, as lines for a program. */
const telling = (write: (text: string) => void) => {
  let last = 0
  const tell = (event: VerifyEvent) => Effect.sync(() => write(`${JSON.stringify(event)}\n`))
  return {
    onStage: ({ stage }: StageRecord) => tell({ _tag: "Stage", stage }),
    onProgress: ({ stage }: StageRecord, { step, steps }: Progress) =>
      Effect.suspend(() => {
        const now = performance.now()
        if (now - last < PACE) return Effect.void
        last = now
        return tell({ _tag: "Progress", stage, step: step ?? null, steps: steps ?? null })
      }),
    onVerdict: (verified: Verified) => tell({ _tag: "Verdict", verified })
  }
}

/** What is told while it goes on, as lines for a person. */
const showing = (write: (text: string) => void, view: View) => ({
  onStage: ({ stage }: StageRecord) =>
    process.stderr.isTTY ? printErrors([view.style.faint(`${stage} runs again`)]) : Effect.void,
  onVerdict: (verified: Verified) => Effect.sync(() => write(`${verdictLines(verified, view).join("\n")}\n`))
})

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
    const { folder, journal } = yield* Store
    const exact = exactReference(input.artifact)
    if (exact !== undefined) yield* journal.refresh
    const made =
      (exact === undefined ? undefined : exactly(journal, exact)) ??
      (yield* resolve(input.artifact, { asOf: Option.getOrUndefined(input.asOf) }))
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
        ...(input.events ? telling(write) : input.json ? {} : showing(write, view))
      })
    )
    const found = yield* Effect.scoped(verifying).pipe(Effect.provide(deviceLayer(input)))
    yield* input.json || input.events ? printJson({ format: 1, ...found }) : printLines(verificationLines(found, view))
    const verdicts = new Set(found.stages.map(({ verdict }) => verdict))
    if (verdicts.has("differs")) process.exitCode = due
    else if (verdicts.has("failed")) process.exitCode = 1
    else if (!found.proven) process.exitCode = notVerifiable
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
