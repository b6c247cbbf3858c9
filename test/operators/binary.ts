/** Two tokens and a model small enough that what is best is known in closed form. */
import type { Checkpoint } from "../../operators/checkpoint.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { initialize, type ModelConfig } from "../../src/engine/model.ts"

/** Digits below `vocabulary` as tokens; no end token. */
export const digits = (vocabulary: number): Tokenizer =>
  ({
    vocabularySize: vocabulary,
    special: { endOfText: -1, pad: -1 },
    encode: (text: string) => Int32Array.from(text, Number),
    decode: (ids: Iterable<number>) => [...ids].join("")
  }) as unknown as Tokenizer

/** A model of one layer over digits. */
export const digitModel = (vocabulary: number, seed = 7): Checkpoint => {
  const config: ModelConfig = {
    family: "gpt2",
    layers: 1,
    heads: 2,
    width: 16,
    vocabulary,
    context: 16,
    scalarHead: false
  }
  return { weights: initialize(config, seed), tokenizer: digits(vocabulary) }
}
