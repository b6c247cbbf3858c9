/**
 * Rollouts: a table of sampled answers, read token by token.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { TokenizerPort } from "../../../operators/tokenizer/port.ts"
import { stageRecord } from "../../lineage/records.ts"
import type { Artifact } from "../../operator/artifact.ts"
import { Store } from "../../store/store.ts"
import type { AnswerView, Rollouts } from "../answers.ts"
import { wrong } from "./refusal.ts"
import { openTable } from "./table.ts"

/** The tokenizer that the tokens of a stage's output are of: the nearest one upstream, of a checkpoint or by itself. */
const tokenizerOf = Effect.fnUntraced(function* (from: string) {
  const { journal, source } = yield* Store
  const seen = new Set([from])
  let wave = [from]
  while (wave.length > 0) {
    const next: Array<string> = []
    for (const key of wave) {
      for (const input of Object.values(stageRecord(journal, key)?.inputs ?? {})) {
        const artifact: Artifact | undefined = stageRecord(journal, input.key)?.outputs[input.port]
        if (artifact?.parts["tokenizer.json"] !== undefined) return yield* TokenizerPort.decode(artifact, source)
        if (!seen.has(input.key)) next.push(input.key)
        seen.add(input.key)
      }
    }
    wave = next
  }
  return undefined
})

const numbers = (value: unknown): ReadonlyArray<number> | undefined =>
  value !== null && typeof value === "object" && Symbol.iterator in value
    ? Array.from(value as Iterable<unknown>, Number)
    : undefined

const finite = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null)

/** Answers of rows from `offset` on, `limit` at most, by prompt. */
export const rollouts = Effect.fnUntraced(function* (reference: string, offset: number, limit: number) {
  const { of, pages } = yield* openTable(reference)
  const names = pages.schema.fields.map(({ name }) => name)
  const has = (name: string) => names.includes(name)
  if (!has("prompt") || !has("answer")) {
    return yield* wrong(
      reference,
      `${of.name} has no columns prompt and answer; it has ${names.join(", ")}`,
      "Rollouts are what rollout, score, ppo and demonstrations give."
    )
  }
  const tokenizer = has("answerTokens") ? yield* tokenizerOf(of.key) : undefined
  const prompts: Array<{ readonly prompt: string; readonly answers: Array<AnswerView> }> = []
  const total = pages.starts.at(-1)!
  let row = offset
  for (let index = pages.starts.findLastIndex((start) => start <= offset); index < pages.starts.length - 1; index++) {
    if (row >= offset + limit) break
    const start = pages.starts[index]!
    const batch = yield* pages.batch(index)
    for (; row < start + batch.numRows && row < offset + limit; row++) {
      const get = (name: string): unknown => (has(name) ? batch.getChild(name)?.get(row - start) : undefined)
      const tokens = tokenizer === undefined ? undefined : numbers(get("answerTokens"))
      const logProbabilities = numbers(get("logProbabilities"))
      const reference = numbers(get("referenceLogProbabilities"))
      const rewards = numbers(get("tokenRewards"))
      const values = numbers(get("values"))
      const advantages = numbers(get("advantages"))
      const answer: AnswerView = {
        row,
        answer: String(get("answer") ?? ""),
        reward: finite(get("reward")),
        tokens:
          tokens?.map((token, i) => ({
            text: tokenizer!.decode([token], { keepSpecial: true }),
            logProbability: finite(logProbabilities?.[i]),
            kl: finite((logProbabilities?.[i] ?? Number.NaN) - (reference?.[i] ?? Number.NaN)),
            reward: finite(rewards?.[i]),
            value: finite(values?.[i]),
            advantage: finite(advantages?.[i])
          })) ?? null
      }
      const prompt = String(get("prompt") ?? "")
      const last = prompts.at(-1)
      if (last?.prompt === prompt) last.answers.push(answer)
      else prompts.push({ prompt, answers: [answer] })
    }
  }
  const view: Rollouts = {
    of,
    has: {
      tokens: tokenizer !== undefined,
      logProbability: has("logProbabilities"),
      kl: has("logProbabilities") && has("referenceLogProbabilities"),
      reward: has("tokenRewards"),
      value: has("values"),
      advantage: has("advantages"),
      score: has("reward")
    },
    prompts,
    total,
    next: row < total ? row : null
  }
  return view
}, Effect.scoped)
