/**
 * `ptmflow generate`: lets a checkpoint continue a text.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { CheckpointPort } from "../../operators/checkpoint.ts"
import { encoding } from "../../operators/tokenizer/encoding.ts"
import { generate as sample } from "../engine/generate.ts"
import * as Session from "../engine/session.ts"
import { resolve } from "../lineage/ledger.ts"
import { Store, layer as storeLayer } from "../store/store.ts"
import { type DeviceInput, layer as deviceLayer } from "./device.ts"
import { CommandError } from "./failure.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { printable, wrap } from "./render/width.ts"

/** What was typed after `generate`. */
export interface GenerateInput extends DeviceInput {
  readonly checkpoint: string
  readonly prompt: string
  readonly tokens: number
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly seed: number
  readonly count: number
  readonly store: string
  readonly json: boolean
}

const checks: ReadonlyArray<readonly [string, (input: GenerateInput) => boolean, string]> = [
  ["--tokens", ({ tokens }) => tokens >= 1, "a whole number from 1"],
  ["--count", ({ count }) => count >= 1, "a whole number from 1"],
  ["--temperature", ({ temperature }) => temperature >= 0, "0 or more"],
  ["--top-k", ({ topK }) => topK >= 0, "0 (all tokens) or more"],
  ["--top-p", ({ topP }) => topP > 0 && topP <= 1, "above 0 and at most 1"]
]

/** A checkpoint; what is there but is none is named. */
const resolveCheckpoint = (reference: string) =>
  Effect.catchTag(resolve(reference, { kind: "checkpoint" }), "LineageError", (error) =>
    Effect.matchEffect(resolve(reference), {
      onFailure: () => Effect.fail(error),
      onSuccess: ({ artifact, port, stage }) =>
        Effect.fail(
          new CommandError({
            place: reference,
            message: `${stage}.${port} is a ${artifact.kind}, not a checkpoint`,
            next: error.candidates.length === 0 ? "" : `Checkpoints are ${error.candidates.join(", ")}`
          })
        )
    })
  )

/** Prints the continuations. */
export const generate = Effect.fnUntraced(
  function* (input: GenerateInput) {
    for (const [flag, holds, wanted] of checks) {
      if (!holds(input)) return yield* new CommandError({ place: flag, message: `${flag} is ${wanted}`, next: "" })
    }
    const { artifact } = yield* resolveCheckpoint(input.checkpoint)
    const { source } = yield* Store
    const { tokenizer, weights } = yield* CheckpointPort.decode(artifact, source)
    const { context } = weights.config
    const endToken = tokenizer.special.endOfText
    const encoded = yield* Effect.mapError(
      encoding("generate", "--prompt", () => tokenizer.encode(input.prompt)),
      ({ message, place }) => new CommandError({ place, message: `the prompt, ${message}`, next: "" })
    )
    // Documents follow an end token in training, so an empty prompt is the start of one.
    const prompt = encoded.length === 0 ? Int32Array.of(endToken) : encoded
    const limit = Math.min(input.tokens, context - prompt.length)
    if (limit < 1) {
      return yield* new CommandError({
        place: "--prompt",
        message: `the prompt has ${prompt.length} tokens and the model reads ${context}: there is no room for an answer`,
        next: "Shorten the prompt."
      })
    }
    const session = yield* Session.make(weights)
    const requests = Array.from({ length: input.count }, (_, index) => ({
      prompt,
      key: [input.seed | 0, index] as const,
      limit
    }))
    const { temperature, topK, topP } = input
    const completions = yield* sample(session, requests, { temperature, topK, topP, endToken })
    const texts = completions.map(({ tokens }) =>
      tokenizer.decode(tokens.at(-1) === endToken ? tokens.subarray(0, -1) : tokens)
    )
    if (input.json) {
      return yield* printJson({
        checkpoint: artifact.digest,
        prompt: input.prompt,
        promptTokens: [...prompt],
        completions: completions.map(({ logProbabilities, tokens }, i) => ({
          text: texts[i],
          tokens: [...tokens],
          logProbabilities: [...logProbabilities],
          ended: tokens.at(-1) === endToken
        }))
      })
    }
    const { columns, style } = viewOf(process.stdout)
    yield* printLines(
      texts.flatMap((text, index) => [
        ...(input.count > 1 ? [style.faint(`${index === 0 ? "" : "\n"}${index + 1} of ${input.count}`)] : []),
        ...wrap(printable(`${input.prompt}${text}`), columns)
      ])
    )
    if (limit < input.tokens) {
      const why = `the model reads ${context} tokens, so ${limit} were generated of the ${input.tokens} asked for`
      yield* Effect.sync(() => process.stderr.write(`${viewOf(process.stderr).style.faint(why)}\n`))
    }
  },
  Effect.scoped,
  (effect, input) => Effect.provide(effect, [deviceLayer(input), storeLayer(input.store)])
)
