/**
 * How well a checkpoint predicts a text: loss, perplexity and bits a byte.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { targetCount } from "../src/engine/batch.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { ReportPort } from "./report.ts"
import { TokenSequence } from "./rows.ts"
import * as Source from "./token-source.ts"
import * as Windows from "./windows.ts"

/**
 * Means over windows of the model's context, one after the other from the start of the text; perplexity is e^loss, and bits a byte are loss / ln 2 times the text's tokens a byte, which
 * models of different tokenizers can be compared by.
 */
export const perplexity = Operator.make("perplexity", {
  description: "Loss, perplexity and bits a byte of a checkpoint on tokenized text",
  params: Schema.Struct({
    windows: parameter(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0, "windows at most; 0: all"),
    batch: parameter(PositiveInt, 16, "windows computed at once")
  }),
  inputs: { checkpoint: CheckpointPort, tokens: Table.of(TokenSequence) },
  outputs: { report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { weights } = inputs.checkpoint
    const { context } = weights.config
    const text = yield* Windows.read(inputs.tokens)
    if (text.tokens.length <= context) {
      return yield* new Operator.OperatorError({
        operator: "perplexity",
        place: "tokens",
        message: `${text.tokens.length} tokens are too few for one window of ${context}`
      })
    }
    const session = yield* Session.make(weights)
    const limit = params.windows === 0 ? Number.POSITIVE_INFINITY : params.windows
    let total = 0
    let count = 0
    const source = Source.ofStream(text)
    for (const starts of Windows.consecutiveStarts(source.count, params.batch, context, limit)) {
      const batch = yield* Source.windowsAt(source, starts, context)
      const { logProbability } = yield* session.statistics(batch, { language: true, scalar: false, temperature: 1 })
      for (const value of logProbability) total -= value
      count += targetCount(batch)
    }
    const loss = total / count
    const bitsPerByte = ((loss / Math.LN2) * text.tokens.length) / text.bytes
    yield* stage.report({ metrics: { loss, perplexity: Math.exp(loss), bitsPerByte } })
    const note = `on ${count} tokens`
    return {
      report: {
        title: "Perplexity",
        figures: [
          { name: "loss", value: loss, unit: "nats/token", note },
          { name: "perplexity", value: Math.exp(loss), note },
          { name: "bits per byte", value: bitsPerByte, unit: "bits/byte", note }
        ],
        samples: []
      }
    }
  }, Effect.scoped)
})
