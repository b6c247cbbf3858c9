/** A training step of each model, in f32 and in bf16, against PyTorch. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Bench, type Case, type Group } from "../bench.ts"
import { openOurs, raceThose } from "../compare.ts"
import { fastest } from "../fastest.ts"
import { freshModel, type ModelName, models, shapeText, trainingFlops } from "../models.ts"
import { isMeasured, type Row } from "../result.ts"
import { median } from "../spread.ts"

/** The least ratio to reach in f32, and in bf16 where that is asked for. */
const targets: { readonly [name in ModelName]: { readonly f32: number; readonly bf16?: number } } = {
  tiny: { f32: 1.5 },
  small: { f32: 1.3 },
  base: { f32: 1.2, bf16: 1.3 },
  "124M": { f32: 1.12, bf16: 1.3 }
}

/** A table so large that computing its loss in chunks may pay. */
const largeVocabulary = 16384

const caseOf = (name: ModelName): Case => ({
  name,
  run: Effect.gen(function* () {
    const { peers, repeats, threads } = yield* Bench
    const started = performance.now()
    const shape = models[name]
    const target = targets[name]
    const request = { work: "train", threads, ...shape }
    const expected = freshModel(shape)
    const variants = (dtype: "f32" | "bf16") => {
      const variant = (name: string, compile: boolean, fusedHead: boolean) => ({
        name: `${dtype} ${name}`,
        request: { ...request, dtype, compile, fusedHead }
      })
      const fusing = shape.vocabulary >= largeVocabulary ? [variant("eager, fused head", false, true)] : []
      return [variant("eager", false, false), ...fusing, variant("compiled", true, false)]
    }
    const f32 = yield* Effect.result(fastest("PyTorch", peers.torch, variants("f32"), expected))
    const hopeless = Result.isSuccess(f32) ? 1.5 * f32.success.seconds : undefined
    const bf16 =
      target.bf16 === undefined
        ? undefined
        : yield* Effect.result(fastest("PyTorch", peers.torch, variants("bf16"), expected, hopeless))
    const side = <A, E>(result: Result.Result<{ readonly side: A }, E>) => Result.map(result, (made) => made.side)
    // Its bf16 takes part only where it is the faster one.
    const either =
      bf16 !== undefined &&
      Result.isSuccess(bf16) &&
      Result.isSuccess(f32) &&
      bf16.success.seconds < f32.success.seconds
    const ours = yield* Effect.result(openOurs("f32", { ...request, dtype: "f32" }, expected))
    const oursBf16 =
      target.bf16 === undefined
        ? undefined
        : yield* Effect.result(openOurs("bf16", { ...request, dtype: "bf16" }, expected))
    const samples = yield* raceThose(
      [ours, side(f32), ...(oursBf16 === undefined ? [] : [oursBf16]), ...(either ? [side(bf16)] : [])],
      repeats
    )
    const others: Record<string, number> = {}
    for (const made of [f32, bf16]) {
      if (made !== undefined && Result.isSuccess(made)) {
        Object.assign(others, made.success.others, { [made.success.side.variant]: made.success.seconds })
      }
    }
    const seconds = (performance.now() - started) / 1000
    const row = (dtype: "f32" | "bf16", own: number, peer: number): Row => ({
      name: `train/${name}/${dtype}`,
      work: `training step ${dtype}, ${name} (${shapeText(shape)})`,
      quantity: "seconds",
      unit: "tokens/s",
      units: shape.batch * shape.context,
      flops: shape.batch * shape.context * trainingFlops(shape),
      ours: samples[own]!,
      peer: { name: "PyTorch", sample: samples[peer]! },
      others,
      target: { kind: "ratio", value: target[dtype]! },
      seconds
    })
    if (target.bf16 === undefined) return [row("f32", 0, 1)]
    const middle = (i: number) => (isMeasured(samples[i]!) ? median(samples[i].values) : Number.POSITIVE_INFINITY)
    return [row("f32", 0, 1), row("bf16", 2, either && middle(3) < middle(1) ? 3 : 1)]
  }).pipe(Effect.scoped)
})

export const train: Group = {
  name: "train",
  description: "a training step of four models, f32 and bf16",
  byDefault: true,
  cases: [caseOf("tiny"), caseOf("small"), caseOf("base"), caseOf("124M")]
}
