/**
 * Results proven, by their pipeline.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Device } from "../device/device.ts"
import { type LineageError, resolve } from "../lineage/ledger.ts"
import { type AnyPipeline, build, buildAgain } from "../pipeline/pipeline.ts"
import type { PipelineError } from "../pipeline/pipelineError.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import * as Verify from "../verify/verify.ts"

/**
 * Runs the stages of `pipeline` that gave an artifact again, with the parameters that they had, and compares every digest: see `ptmflow verify`. `depth` (default 1) is how many levels of stages
 * run; `sample` how much of each (`share`, above 0 and at most 1, drawn from `seed`).
 */
export const verify = Effect.fnUntraced(function* (
  pipeline: AnyPipeline<Device>,
  reference: string,
  options: Verify.VerifyOptions = {}
): Effect.fn.Return<Verify.Verification, LineageError | PipelineError | StoreError, Device | Store> {
  const made = yield* resolve(reference)
  return yield* Verify.verify(made, (run) => (run === undefined ? build(pipeline) : buildAgain(pipeline, run)), options)
})
