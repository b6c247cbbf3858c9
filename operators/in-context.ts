/**
 * In-context learning: how often a checkpoint answers right after k worked examples in its context.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { generate, noEndToken } from "../src/engine/generate.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import * as AnswerSequence from "./answer-sequence.ts"
import { Demonstration } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { proportion } from "./interval.ts"
import { permutation } from "./order.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { plot } from "./plot.ts"
import { ReportPort } from "./report.ts"
import { score, sum } from "./scoring.ts"
import { encoding } from "./tokenizer/encoding.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * Each question is a row's prompt after k other rows, each prompt and answer, drawn at random; an answer is right if the likeliest tokens are the row's answer (greedy, exact match; Brown
 * et al. 2020, section 2). Figures: accuracy with its 95% interval and the answer's loss, for each k; a plot of the accuracy.
 */
export const inContext = Operator.make("in-context", {
  description: "Accuracy of a checkpoint after k worked examples in its context",
  params: Schema.Struct({
    shots: parameter(Schema.Array(Count), [0, 1, 2, 4, 8], "numbers k of worked examples"),
    questions: parameter(PositiveInt, 200, "rows asked, at most"),
    separator: parameter(Schema.String, "\n", "between one example and the next"),
    seed: parameter(Schema.Int, 1, "of which rows are asked and which are shown")
  }),
  inputs: { checkpoint: CheckpointPort, examples: Table.of(Demonstration) },
  outputs: { report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const { tokenizer, weights } = inputs.checkpoint
    const refuse = (place: string, message: string) =>
      new Operator.OperatorError({ operator: "in-context", place, message })
    const rows = yield* Table.collect(inputs.examples)
    const most = Math.max(0, ...params.shots)
    if (params.shots.length === 0) return yield* refuse("shots", "it is empty: which numbers of examples are wanted?")
    if (rows.length <= most) {
      return yield* refuse("examples", `${rows.length} rows are too few to ask one after ${most} others`)
    }
    const asked = permutation(rows.length, params.seed, 0).subarray(0, params.questions)
    const session = yield* Session.make(weights)
    const results: Array<{
      readonly k: number
      readonly mean: number
      readonly low: number
      readonly high: number
      readonly loss: number
    }> = []
    for (const k of params.shots) {
      const questions: Array<{ readonly prompt: Int32Array; readonly answer: Int32Array }> = []
      for (const [n, row] of asked.entries()) {
        const others = permutation(rows.length, params.seed, n + 1).filter((other) => other !== row)
        const shown = Array.from(others.subarray(0, k), (other) => rows[other]!.prompt + rows[other]!.answer)
        const { answer, id, prompt } = rows[row]!
        const place = `examples, row ${row} (${id})`
        const question = yield* encoding("in-context", place, () => ({
          prompt: tokenizer.encode([...shown, prompt].join(params.separator)),
          answer: tokenizer.encode(answer)
        }))
        if (question.prompt.length === 0 || question.answer.length === 0) {
          return yield* refuse(place, "its prompt or its answer is empty")
        }
        const length = question.prompt.length + question.answer.length
        if (length > weights.config.context) {
          return yield* refuse(
            place,
            `with ${k} examples it has ${length} tokens, and the model's context is ${weights.config.context}`
          )
        }
        questions.push(question)
      }
      const answers = yield* generate(
        session,
        questions.map(({ answer, prompt }) => ({ prompt, key: [0, 0] as const, limit: answer.length })),
        { temperature: 0, topK: 0, topP: 1, endToken: tokenizer.special.endOfText ?? noEndToken }
      )
      const right = questions.map(({ answer }, i) => (answers[i]!.tokens.join() === answer.join() ? 1 : 0))
      const statistics = yield* score(
        session,
        questions.map(({ answer, prompt }) => AnswerSequence.join(prompt, answer)),
        { language: true, scalar: false, temperature: 1 }
      )
      const loss =
        -sum(statistics.map((s) => sum(s.logProbability))) / sum(questions.map(({ answer }) => answer.length))
      results.push({ k, ...proportion(right), loss })
      yield* stage.report({
        step: results.length,
        steps: params.shots.length,
        metrics: { [`accuracy${k}`]: results.at(-1)!.mean }
      })
    }
    const note = (low: number, high: number) =>
      `95% interval ${low.toFixed(3)} to ${high.toFixed(3)}, on ${asked.length} questions`
    const points = results.map(({ high, k, low, mean }) => ({ series: "accuracy", x: k, y: mean, low, high }))
    return {
      report: {
        title: "In-context learning",
        figures: results.flatMap(({ high, k, loss, low, mean }) => [
          { name: `accuracy, ${k} examples`, value: mean, note: note(low, high) },
          { name: `loss of the answer, ${k} examples`, value: loss, unit: "nats/token" }
        ]),
        samples: [],
        plots: [
          yield* plot(points, {
            name: "in-context",
            title: "In-context learning",
            x: "examples in the context",
            y: "accuracy"
          })
        ]
      }
    }
  }, Effect.scoped)
})
