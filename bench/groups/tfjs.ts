/** A training step in f32, against TensorFlow.js (WASM backend). */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Bench, type Case, type Group } from "../bench.ts"
import { openOurs, raceThose } from "../compare.ts"
import { freshModel, type ModelName, models, shapeText, trainingFlops } from "../models.ts"
import type { Row } from "../result.ts"
import { openPeer } from "../sides.ts"
import { WorkerError } from "../worker.ts"

/** The longest that its first step may take, in seconds. */
const patience = 75

/** One step takes it seconds to minutes: fewer repeats than elsewhere. */
const repeatsOf: { readonly [name in ModelName]: number } = { tiny: 5, small: 2, base: 1, "124M": 1 }

/** Sequences whose gradients it computes at once: its memory ends at 4 GB. */
const microBatch: { readonly [name in ModelName]: number } = { tiny: 8, small: 4, base: 2, "124M": 1 }

const caseOf = (name: ModelName): Case => ({
  name,
  run: Effect.gen(function* () {
    const { peers, threads } = yield* Bench
    const started = performance.now()
    const shape = models[name]
    const request = { work: "train", threads, dtype: "f32", ...shape }
    const expected = freshModel(shape)
    const tooLong = new WorkerError({
      side: "TensorFlow.js",
      message: `its first step was not done after ${patience} seconds`
    })
    const theirs = yield* openPeer(
      "TensorFlow.js",
      "",
      peers.tfjs,
      { ...request, microBatch: microBatch[name] },
      expected
    ).pipe(
      Effect.timeoutOption(`${patience} seconds`),
      Effect.flatMap(Option.match({ onNone: () => Effect.fail(tooLong), onSome: Effect.succeed })),
      Effect.result
    )
    const ours = yield* Effect.result(openOurs("f32", request, expected))
    const [own, peer] = yield* raceThose([ours, theirs], repeatsOf[name])
    const row: Row = {
      name: `tfjs/${name}`,
      work: `training step f32, ${name} (${shapeText(shape)})`,
      quantity: "seconds",
      unit: "tokens/s",
      units: shape.batch * shape.context,
      flops: shape.batch * shape.context * trainingFlops(shape),
      ours: own!,
      peer: { name: "TensorFlow.js", sample: peer! },
      others: {},
      target: { kind: "ratio", value: 20 },
      seconds: (performance.now() - started) / 1000
    }
    return [row]
  }).pipe(Effect.scoped)
})

export const tfjs: Group = {
  name: "tfjs",
  description: "a training step of four models, against TensorFlow.js",
  byDefault: true,
  cases: [caseOf("tiny"), caseOf("small"), caseOf("base"), caseOf("124M")]
}
