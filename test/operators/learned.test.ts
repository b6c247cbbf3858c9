/** What trainings say of which rows each update learned from, against what the update was made of. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as AnswerSequence from "../../operators/answer-sequence.ts"
import { Demonstration } from "../../operators/answers.ts"
import { cutDemonstrations } from "../../operators/demonstrations.ts"
import { pretrain } from "../../operators/pretrain.ts"
import { Document, TokenSequence } from "../../operators/rows.ts"
import { sft } from "../../operators/sft.ts"
import { startsOf } from "../../operators/token-source.ts"
import { tokenize } from "../../operators/tokenize.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { rowsAt } from "../../operators/windows.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { pad, predicted } from "../../src/engine/batch.ts"
import { initialize } from "../../src/engine/model.ts"
import * as Session from "../../src/engine/session.ts"
import { originsOf, outputsOf } from "../../src/operator/origins.ts"
import { type RowRanges, rangesOf } from "../../src/operator/row-ranges.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage } from "./stage.ts"

const members = (ranges: RowRanges): ReadonlyArray<number> =>
  ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i))

describe("rows that updates learned from", () => {
  it("of a window are those of its tokens and of the token that it predicts last", () => {
    const stream = { tokens: new Int32Array(12), bytes: 12, ends: Float64Array.of(4, 6, 12) }
    assert.deepStrictEqual(rowsAt(stream, [0], 3), [[0, 0]])
    assert.deepStrictEqual(rowsAt(stream, [0], 4), [[0, 1]])
    assert.deepStrictEqual(rowsAt(stream, [7, 1], 2), [
      [0, 0],
      [2, 2]
    ])
  })

  it.effect("pretraining: the rows whose tokens are in its windows, in both orders", () =>
    Effect.gen(function* () {
      // Each row is one token over and over, so that a window tells which rows it is of.
      const lengths = [40, 1, 25, 90, 3, 60, 33]
      const rows = lengths.map((n, i) => ({ id: `${i}`, tokens: new Int32Array(n).fill(i), bytes: n }))
      const all = rows.flatMap(({ tokens }) => [...tokens])
      const tokenizer = { vocabularySize: 8, special: { endOfText: 7, pad: 7 }, json: "" } as unknown as Tokenizer
      for (const order of ["random", "shuffled"] as const) {
        const params = Schema.decodeUnknownSync(pretrain.params)({
          ...{ order, layers: 1, heads: 1, width: 8, context: 16, batch: 3, steps: 10, warmup: 1 }
        })
        const { stage, updates } = makeStage()
        const table = Table.fromRows(TokenSequence, rows)
        yield* pretrain
          .run({ inputs: { train: table, validation: table, tokenizer }, params, sources: [] })
          .pipe(Effect.provideService(Stage, stage))
        assert.deepStrictEqual(
          updates.map(({ step }) => step),
          Array.from({ length: 10 }, (_, i) => i + 1)
        )
        for (const [step, { rows }] of updates.entries()) {
          const starts = startsOf(order, all.length, 3, 16, params.seed, step)
          assert.deepStrictEqual(rows["train"], rangesOf(starts.flatMap((start) => all.slice(start, start + 17))))
        }
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect(
    "fine-tuning, packed or not: its loss is that of these rows, held-out and overlong ones are never among them",
    () =>
      Effect.gen(function* () {
        const letters = {
          vocabularySize: 27,
          special: { endOfText: 0, pad: 0 },
          encode: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0) - 96),
          decode: () => ""
        } as unknown as Tokenizer
        const weights = initialize(
          { family: "gpt2", layers: 1, heads: 1, width: 16, vocabulary: 27, context: 16, scalarHead: false },
          1
        )
        const demonstrations = Array.from({ length: 24 }, (_, i) => ({
          id: `d${i}`,
          prompt: String.fromCharCode(97 + i),
          answer: "abcdefgh".slice(0, 1 + (i % 5)).repeat(i === 9 ? 9 : 1)
        }))
        const session = yield* Session.make(weights)
        const losses = yield* Effect.forEach(demonstrations, ({ answer, prompt }, row) =>
          Effect.gen(function* () {
            if (row === 9) return { sum: 0, count: 0 }
            const sequence = AnswerSequence.encode(letters, prompt, answer)
            const batch = pad([sequence], { context: 16 })
            const { logProbability } = yield* session.statistics(batch, {
              language: true,
              scalar: false,
              temperature: 1
            })
            return {
              sum: -Array.from(logProbability).reduce((sum, value) => sum + value, 0),
              count: predicted(sequence)
            }
          })
        )
        for (const packing of [false, true]) {
          const { stage, updates } = makeStage()
          const params = Schema.decodeUnknownSync(sft.params)({
            ...{ packing, batch: 3, epochs: 2, learningRate: 1e-20, heldOutFraction: 0.1, overlong: "drop" }
          })
          const inputs = {
            checkpoint: { weights, tokenizer: letters },
            demonstrations: Table.fromRows(Demonstration, demonstrations)
          }
          yield* sft.run({ inputs, params, sources: [] }).pipe(Effect.provideService(Stage, stage))
          assert.isAbove(updates.length, 3)
          for (const { loss, rows } of updates) {
            const learned = members(rows["demonstrations"]!)
            for (const row of [0, 1, 9]) assert.notInclude(learned, row)
            const [sum, count] = [
              learned.reduce((all, row) => all + losses[row]!.sum, 0),
              learned.reduce((all, row) => all + losses[row]!.count, 0)
            ]
            assert.closeTo(loss, sum / count, 1e-5)
          }
        }
      }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})

describe("origins of rows", () => {
  const documents = Array.from({ length: 6 }, (_, i) => ({
    id: `doc${i}`,
    text: `We have word${i} and more of it here. `.repeat(i === 2 ? 0 : 1 + 9 * i),
    source: `${i}`
  }))
  const table = Table.fromRows(Document, documents)

  it.effect("of segments and of sentences are the documents that they were cut from", () =>
    Effect.gen(function* () {
      const tokenizer = {
        vocabularySize: 300,
        special: { endOfText: 0, pad: 0 },
        encode: (text: string) => Int32Array.from(Buffer.from(text)),
        json: ""
      } as unknown as Tokenizer
      const params = Schema.decodeUnknownSync(tokenize.params)({ segmentLength: 200, validationFraction: 0.3 })
      const { train, validation } = yield* tokenize.run({
        inputs: { documents: table, tokenizer },
        params,
        sources: []
      })
      for (const side of [train, validation]) {
        const rows = yield* Table.collect(side)
        const { documents: origins } = originsOf(side)
        for (let document = 0; document < 6; document++) {
          const found = rows.flatMap(({ id }, row) => (id.split("#")[0] === `doc${document}` ? [row] : []))
          assert.deepStrictEqual(members(outputsOf(origins!, [[document, document]])), found)
        }
      }
      const few = documents.map((each, i) => ({ ...each, text: `On day ${i} there was much to see in ${i} towns.` }))
      const cut = Schema.decodeUnknownSync(cutDemonstrations.params)({ heldOut: 1, ranking: 1, policy: 2 })
      const parts = yield* cutDemonstrations.run({
        inputs: { documents: Table.fromRows(Document, few) },
        params: cut,
        sources: []
      })
      const seen = yield* Effect.forEach(Object.values(parts), (part) =>
        Effect.map(Table.collect(part as Table.Table<{ readonly prompt: string }>), (rows) =>
          rows.map(({ prompt }, row) => {
            const document = Number(/day (\d)/.exec(prompt)![1])
            assert.include(members(outputsOf(originsOf(part)["documents"]!, [[document, document]])), row)
            return document
          })
        )
      )
      assert.sameMembers(seen.flat(), [0, 1, 2, 3, 4, 5])
    }).pipe(Effect.provideService(Stage, makeStage().stage))
  )
})
