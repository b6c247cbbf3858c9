/** What a side can be asked to do: the same for ours and for every peer. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Device } from "../../src/device/device.ts"
import type { ModelError } from "../../src/engine/model.ts"
import type { SessionError } from "../../src/engine/session.ts"
import type { Shape } from "../models.ts"

/** A training step: loss, gradients, clip at 1, AdamW. */
export interface TrainSpec extends Shape {
  readonly work: "train"
  readonly device?: "cpu" | "cuda"
  readonly threads: number
  readonly dtype: "f32" | "bf16"
}

/** `batch` prompts of `prompt` tokens, `new` tokens after each. */
export interface GenerateSpec extends Shape {
  readonly work: "generate"
  readonly device?: "cpu" | "cuda"
  readonly threads: number
  readonly prompt: number
  readonly new: number
}

/** One PPO iteration over `batch` prompts; one update an epoch. */
export interface PpoSpec extends Shape {
  readonly work: "ppo"
  readonly device?: "cpu" | "cuda"
  /** Of statistics and updates; default f32. */
  readonly dtype?: "f32" | "bf16"
  readonly threads: number
  readonly prompt: number
  readonly new: number
  readonly epochs: number
}

/** A product of two square f32 matrices. */
export interface MatmulSpec {
  readonly work: "matmul"
  readonly device?: "cpu" | "cuda"
  readonly threads: number
  readonly size: number
}

/** Encoding the texts of one file (a JSON list) with the tokenizer of another. */
export interface EncodeSpec {
  readonly work: "encode"
  readonly device?: "cpu" | "cuda"
  readonly threads: number
  readonly tokenizer: string
  readonly texts: string
}

export type Spec = TrainSpec | GenerateSpec | PpoSpec | MatmulSpec | EncodeSpec

/** An opened work, after it was done once: what that showed, and how to do it again (seconds a time). */
export interface Work {
  readonly opened: { readonly parameters?: number; readonly tokens?: number; readonly loss?: number }
  readonly again: Effect.Effect<void, SessionError | ModelError>
}

export type Open<S> = (spec: S) => Effect.Effect<Work, SessionError | ModelError, Device | Scope.Scope>

/** Tokens below `vocabulary`, the same at every call with the same seed. */
export const randomTokens = (count: number, vocabulary: number, seed: number): Int32Array => {
  let state = seed + 1
  return Int32Array.from({ length: count }, () => {
    state = (state * 48271) % 2147483647
    return Math.floor((state / 2147483647) * vocabulary)
  })
}
