/**
 * What a model family gives: its parameters, and its trunk over the operations. A family is written once; how it attends (whole sequences, or
 * one token against a cache) is the caller's.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Tensor } from "./tensor.ts"

/** Low-rank adapters on linear layers: those of attention, or all in the blocks. See `adapter.ts`. */
export const Adapter = Schema.Struct({
  rank: Schema.Int.check(Schema.isGreaterThan(0)),
  alpha: Schema.Number.check(Schema.isGreaterThan(0)),
  layers: Schema.Literals(["attention", "all"])
})
export type Adapter = typeof Adapter.Type

/** How a parameter starts: all of one value, or normal with mean 0 and this standard deviation. */
export type Initial = { readonly value: number } | { readonly deviation: number }

/** A parameter without its place. */
export interface Declared {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly initial: Initial
}

/** The factors of an adapted layer: a [in, rank], b [rank, out]. */
export interface LowRank {
  readonly a: Tensor
  readonly b: Tensor
  readonly scale: number
}

/** A model's weights as tensors: by name, and the adapter of a linear layer (named without `.weight`) where it has one. */
export interface WeightTensors {
  readonly weight: (name: string) => Tensor
  readonly adapter: (layer: string) => LowRank | undefined
}

/**
 * What a trunk reads. ids, positions: i32[rows]. `attend(qkv[rows, (heads + 2 keyHeads) headWidth], layer)` gives the attention output
 * [rows, heads headWidth]. `train`: a backward pass will follow.
 */
export interface Reading {
  readonly ids: Tensor
  readonly positions: Tensor
  readonly attend: (qkv: Tensor, layer: number) => Tensor
  readonly train: boolean
}
