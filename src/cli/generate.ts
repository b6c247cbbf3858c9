/**
 * `ptmflow generate`: lets a checkpoint continue a text.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { CheckpointPort } from "../../operators/checkpoint.ts"
import { continueText } from "../results/continuation.ts"
import { artifactOf } from "../results/results.ts"
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

/** Prints the continuations. */
export const generate = Effect.fnUntraced(
  function* (input: GenerateInput) {
    for (const [flag, holds, wanted] of checks) {
      if (!holds(input)) return yield* new CommandError({ place: flag, message: `${flag} is ${wanted}`, next: "" })
    }
    const { artifact } = yield* artifactOf("checkpoint", input.checkpoint)
    const { source } = yield* Store
    const checkpoint = yield* CheckpointPort.decode(artifact, source)
    const { completions, limit, promptTokens } = yield* Effect.catchTag(
      continueText(checkpoint, input.prompt, input),
      "ContinuationError",
      ({ message, next }) => Effect.fail(new CommandError({ place: "--prompt", message, next }))
    )
    if (input.json) {
      return yield* printJson({
        checkpoint: artifact.digest,
        prompt: input.prompt,
        promptTokens: [...promptTokens],
        completions: completions.map(({ ended, logProbabilities, text, tokens }) => ({
          text,
          tokens: [...tokens],
          logProbabilities: [...logProbabilities],
          ended
        }))
      })
    }
    const { columns, style } = viewOf(process.stdout)
    yield* printLines(
      completions.flatMap(({ text }, index) => [
        ...(input.count > 1 ? [style.faint(`${index === 0 ? "" : "\n"}${index + 1} of ${input.count}`)] : []),
        ...wrap(printable(`${input.prompt}${text}`), columns)
      ])
    )
    if (limit < input.tokens) {
      const why = `the model reads ${checkpoint.weights.config.context} tokens, so ${limit} were generated of the ${input.tokens} asked for`
      yield* Effect.sync(() => process.stderr.write(`${viewOf(process.stderr).style.faint(why)}\n`))
    }
  },
  Effect.scoped,
  (effect, input) => Effect.provide(effect, [deviceLayer(input), storeLayer(input.store)])
)
