/**
 * Rollout: samples answers from a policy, keeping the log-probability of each token as it was drawn.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type Completion as Generated, generate, noEndToken, type Request } from "../src/engine/generate.ts"
import * as Session from "../src/engine/session.ts"
import type { ArtifactError } from "../src/operator/artifact.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { Completion, Prompt } from "./answers.ts"
import { type Checkpoint, CheckpointPort } from "./checkpoint.ts"
import * as Order from "./order.ts"
import * as Pace from "./pace.ts"
import { NonNegative, PositiveInt, parameter } from "./parameter.ts"
import { encoding } from "./tokenizer/encoding.ts"

/** Parameters of sampling, shared by all operators that sample. */
export const samplingParams = {
  maximumTokens: parameter(PositiveInt, 24, "tokens an answer may have, the end token included"),
  temperature: parameter(NonNegative, 1, "of the softmax; 0 takes the likeliest"),
  topK: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0, "keeps the K likeliest tokens; 0: all"),
  topP: parameter(
    Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true })),
    1,
    "keeps the likeliest tokens that together have this probability"
  ),
  stop: parameter(
    Schema.Array(Schema.String),
    [],
    "texts of one token each that end an answer as the end token does; the answer keeps them"
  ),
  seed: parameter(Schema.Int, 1, "of the draws")
}
const Sampling = Schema.Struct(samplingParams)

/** Each answer has a key of its own, so it does not depend on what else is sampled beside it. */
const keyOf = (...parts: ReadonlyArray<string | number>): [number, number] => {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest()
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)]
}

/** Answers that a stage had when it was cut off, and how it saves those that it has. */
interface Resuming {
  readonly made: ReadonlyArray<Completion>
  readonly save: (completions: ReadonlyArray<Completion>) => Effect.Effect<void, ArtifactError>
}

/** Samples one answer for each (prompt, sample number) of `wanted`; `round` makes the draws of one round differ from another's. */
export const sample = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  wanted: ReadonlyArray<{ readonly prompt: Prompt; readonly sample: number }>,
  params: typeof Sampling.Type,
  round: number,
  { made, save }: Resuming = { made: [], save: () => Effect.void }
) {
  const { tokenizer, weights } = checkpoint
  const session = yield* Session.make(weights)
  const requests: Array<Request> = []
  for (const { prompt, sample } of wanted) {
    const place = `prompt ${prompt.id}`
    const tokens = yield* encoding("rollout", place, () => tokenizer.encode(prompt.prompt))
    if (tokens.length === 0) {
      const message = "the prompt is empty: an answer needs at least one token before it"
      return yield* new Operator.OperatorError({ operator: "rollout", place, message })
    }
    requests.push({ prompt: tokens, key: keyOf(params.seed, round, prompt.id, sample), limit: params.maximumTokens })
  }
  const stopTokens = yield* Effect.forEach(params.stop, (text) =>
    Effect.flatMap(
      encoding("rollout", "stop", () => tokenizer.encode(text)),
      (tokens) =>
        tokens.length === 1
          ? Effect.succeed(tokens[0]!)
          : Effect.fail(
              new Operator.OperatorError({
                operator: "rollout",
                place: "stop",
                message: `${JSON.stringify(text)} is ${tokens.length} tokens of this tokenizer: a stop text is one token`
              })
            )
    )
  )
  const pace = yield* Pace.make(requests.length)
  const endToken = tokenizer.special.endOfText ?? noEndToken
  const row = ({ logProbabilities, tokens }: Generated, i: number): Completion => {
    const { prompt, sample } = wanted[i]!
    const text = tokens.at(-1) === endToken ? tokens.subarray(0, -1) : tokens
    return {
      id: prompt.id,
      sample,
      prompt: prompt.prompt,
      answer: tokenizer.decode(text),
      promptTokens: requests[i]!.prompt,
      answerTokens: tokens,
      logProbabilities,
      temperature: params.temperature || 1,
      ended: tokens.at(-1) === endToken || stopTokens.includes(tokens.at(-1)!)
    }
  }
  let before = made.reduce((sum, { answerTokens }) => sum + answerTokens.length, 0)
  const completions: ReadonlyArray<Generated> = yield* generate(
    session,
    requests,
    { ...params, endToken },
    {
      batch: 64,
      stopTokens,
      made: made.map(({ answerTokens, logProbabilities }) => ({ tokens: answerTokens, logProbabilities })),
      onBatch: Effect.fnUntraced(function* (completions) {
        const tokens = completions.reduce((sum, each) => sum + each.tokens.length, 0)
        yield* pace.done(completions.length, tokens - before, { tokensPerAnswer: tokens / completions.length })
        before = tokens
        if (completions.length < requests.length) yield* pace.save(Effect.suspend(() => save(completions.map(row))))
      })
    }
  )
  return completions.map(row)
}, Effect.scoped)

const completionTable = Table.of(Completion)

/** An answer's draws are keyed by the prompt's id. */
const drawn = { from: ["prompts.id", "prompts.prompt"] } as const

/** Samples `answersPerPrompt` answers to each of `prompts` prompts (0: to all, in order); round r takes other prompts than round r + 1. */
export const rollout = Operator.make("rollout", {
  description: "Samples answers to prompts from a policy",
  params: Schema.Struct({
    prompts: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0, "prompts drawn this round; 0: all"),
    answersPerPrompt: parameter(PositiveInt, 1, "answers to each prompt"),
    round: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0, "which round this is"),
    ...samplingParams
  }),
  inputs: { policy: CheckpointPort, prompts: Table.of(Prompt) },
  outputs: { completions: completionTable },
  columns: {
    completions: {
      ...Operator.unchanged("prompts", ["id", "prompt"]),
      sample: {},
      temperature: {},
      promptTokens: { from: ["prompts.prompt"] },
      answer: drawn,
      answerTokens: drawn,
      logProbabilities: drawn,
      ended: drawn
    }
  },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const prompts = yield* Table.collect(inputs.prompts)
    if (params.prompts > prompts.length || prompts.length === 0) {
      return yield* new Operator.OperatorError({
        operator: "rollout",
        place: "prompts",
        message: `the table has ${prompts.length} prompts, the round wants ${params.prompts || "at least one"}`
      })
    }
    const chosen =
      params.prompts === 0
        ? [...prompts.keys()]
        : Array.from(Order.rowsOfStep(prompts.length, params.prompts, params.seed)(params.round))
    const from = { prompts: chosen.flatMap((row) => Array.from({ length: params.answersPerPrompt }, () => row)) }
    const wanted = chosen.flatMap((row) =>
      Array.from({ length: params.answersPerPrompt }, (_, sample) => ({ prompt: prompts[row]!, sample }))
    )
    const saved = yield* stage.resume(completionTable)
    const completions = yield* sample(inputs.policy, wanted, params, params.round, {
      made: Option.isSome(saved) ? yield* Table.collect(saved.value.value) : [],
      save: (rows) => stage.save(completionTable, { step: rows.length, value: Table.fromRows(Completion, rows) })
    })
    const ended = completions.filter((c) => c.ended).length
    const tokens = completions.reduce((n, c) => n + c.answerTokens.length, 0)
    const metrics = { tokensPerAnswer: tokens / completions.length, endedShare: ended / completions.length }
    yield* stage.report({ metrics })
    return { completions: Table.fromRows(Completion, completions, { from }) }
  })
})
