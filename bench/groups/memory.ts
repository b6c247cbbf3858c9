/** Peak memory of a training step of the 124M model, against PyTorch: the peak resident bytes of each side's whole process. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Bench, type Group } from "../bench.ts"
import { notMeasured, openOurs } from "../compare.ts"
import { freshModel, models, shapeText } from "../models.ts"
import { isMeasured, type NotMeasured, type Row, type Sample } from "../result.ts"
import { openPeer, type Side } from "../sides.ts"
import type { WorkerError } from "../worker.ts"

/** Optimizer state is made in the first step, which opening does; a later one has everything. */
const steps = 1

/** Each side alone, one after the other. */
const peakOf = Effect.fnUntraced(
  function* (open: Effect.Effect<Side, WorkerError, Scope.Scope>) {
    const side = yield* open
    yield* side.worker.ask({ do: "repeat", times: steps })
    const { bytes } = yield* side.worker.ask({ do: "memory" })
    const { variant, version } = side
    return { version, variant, values: [bytes ?? 0], bytes: bytes ?? 0 } satisfies Sample
  },
  Effect.scoped,
  Effect.result,
  Effect.map((result): Sample | NotMeasured =>
    Result.isSuccess(result) ? result.success : notMeasured(result.failure)
  )
)

export const memory: Group = {
  name: "memory",
  description: "peak memory of the 124M f32 training step",
  byDefault: true,
  cases: [
    {
      name: "124M",
      run: Effect.gen(function* () {
        const { peers, threads } = yield* Bench
        const started = performance.now()
        const shape = models["124M"]
        const request = { work: "train", threads, dtype: "f32", ...shape }
        const expected = freshModel(shape)
        const ours = yield* peakOf(openOurs("f32", request, expected))
        const others: Record<string, number> = {}
        let best: Sample | NotMeasured = { notMeasured: "" }
        // The leaner of its settings counts.
        for (const fusedHead of [false, true]) {
          const variant = `f32 eager${fusedHead ? ", fused head" : ""}`
          const theirs = yield* peakOf(
            openPeer("PyTorch", variant, peers.torch, { ...request, compile: false, fusedHead }, expected)
          )
          if (isMeasured(theirs)) others[variant] = theirs.bytes
          if (!isMeasured(best) || (isMeasured(theirs) && theirs.bytes < best.bytes)) best = theirs
        }
        const row: Row = {
          name: "memory/124M",
          work: `peak memory of the training step f32, 124M (${shapeText(shape)})`,
          quantity: "bytes",
          unit: "GB",
          units: 1e-9,
          flops: null,
          ours,
          peer: { name: "PyTorch", sample: best },
          others,
          target: { kind: "memory", value: 0.75 },
          seconds: (performance.now() - started) / 1000
        }
        return [row]
      })
    }
  ]
}
