/**
 * Low-rank adapters: as parameters of operators that train, and merged into the weights.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { merge, withAdapter } from "../src/engine/adapter.ts"
import type { Weights } from "../src/engine/model.ts"
import * as Operator from "../src/operator/operator.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { Positive, parameter } from "./parameter.ts"

/** Parameters of adapters. */
export const adapterParams = {
  loraRank: parameter(
    Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
    0,
    "rank of low-rank adapters, which are trained in place of the weights; 0: all weights, or the adapters that a checkpoint has"
  ),
  loraAlpha: parameter(Positive, 16, "adapters add alpha / rank times their product"),
  loraLayers: parameter(
    Schema.Literals(["attention", "all"]),
    "all",
    "linear layers with adapters: those of attention, or all in the blocks"
  )
}
type AdapterParams = Schema.Struct<typeof adapterParams>["Type"]

/** The weights with adapters, if parameters ask for them and there are none yet. */
export const adapted = (weights: Weights, params: AdapterParams, seed: number): Weights =>
  params.loraRank === 0
    ? weights
    : withAdapter(weights, { rank: params.loraRank, alpha: params.loraAlpha, layers: params.loraLayers }, seed)

/** A checkpoint with its adapters in its weights. Export does that by itself. */
export const mergeAdapter = Operator.make("merge-adapter", {
  description: "Merges the adapters of a checkpoint into its weights",
  params: Schema.Struct({}),
  inputs: { checkpoint: CheckpointPort },
  outputs: { checkpoint: CheckpointPort },
  run: ({ inputs: { checkpoint } }) =>
    checkpoint.weights.config.adapter === undefined
      ? Effect.fail(
          new Operator.OperatorError({
            operator: "merge-adapter",
            place: "checkpoint",
            message: "the checkpoint has no adapters to merge"
          })
        )
      : Effect.succeed({ checkpoint: { weights: merge(checkpoint.weights), tokenizer: checkpoint.tokenizer } })
})
