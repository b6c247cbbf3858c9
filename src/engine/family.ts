/**
 * What a model family gives: its parameters, and its trunk over the operations. A family is written once; how it attends (whole sequences, or
 * one token against a cache) is the caller's.
 *
 * @since 0.1.0
 */
import type { Tensor } from "./tensor.ts"

/** How a parameter starts: all of one value, or normal with mean 0 and this standard deviation. */
export type Initial = { readonly value: number } | { readonly deviation: number }

/** A parameter without its place. */
export interface Declared {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly initial: Initial
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
