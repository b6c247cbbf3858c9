/**
 * A prompt and its answer as one token sequence: what SFT learns, and the reward model reads, and PPO updates on.
 *
 * @since 0.1.0
 */
import type { Sequence } from "../src/engine/batch.ts"
import type { Tokenizer } from "./tokenizer/port.ts"
import { endOfText } from "./tokenizer/tokenizer.ts"

/** prompt tokens, then answer tokens; only the answer is predicted. */
export const join = (prompt: Int32Array, answer: Int32Array): Sequence => {
  const tokens = new Int32Array(prompt.length + answer.length)
  tokens.set(prompt)
  tokens.set(answer, prompt.length)
  return { tokens, from: prompt.length }
}

/** Encodes a prompt and a finished answer: the end token comes last. Throws as the tokenizer does: see `encoding`. */
export const encode = (tokenizer: Tokenizer, prompt: string, answer: string): Sequence => {
  const text = tokenizer.encode(answer)
  const ended = new Int32Array(text.length + 1)
  ended.set(text)
  ended[text.length] = endOfText(tokenizer)
  return join(tokenizer.encode(prompt), ended)
}
