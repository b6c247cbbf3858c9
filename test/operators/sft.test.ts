import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Demonstration } from "../../operators/answers.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { sft } from "../../operators/sft.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { initialize } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage } from "./stage.ts"

/** A token a letter; 0 ends. */
const letters = {
  vocabularySize: 27,
  special: { endOfText: 0, pad: 0 },
  encode: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0) - 96),
  decode: (ids: Iterable<number>) => String.fromCharCode(...Array.from(ids, (id) => id + 96))
} as unknown as Tokenizer

const checkpoint: Checkpoint = {
  weights: initialize(
    { family: "gpt2", layers: 1, heads: 1, width: 16, vocabulary: 27, context: 16, scalarHead: false },
    1
  ),
  tokenizer: letters
}
const rows = Array.from({ length: 40 }, (_, i) => ({ id: `d${i}`, prompt: "ab", answer: "cde" }))

const run = (demonstrations: ReadonlyArray<Demonstration>, params: Partial<typeof sft.params.Type> = {}) => {
  const { reports, stage } = makeStage()
  const inputs = { checkpoint, demonstrations: Table.fromRows(Demonstration, demonstrations) }
  const decoded = Schema.decodeUnknownSync(sft.params)({ batch: 8, ...params })
  return sft.run({ inputs, params: decoded, sources: [] }).pipe(
    Effect.map((outputs) => ({ outputs, reports })),
    Effect.provideService(Stage, stage),
    Effect.provide(cpu({ threads: 1 }))
  )
}

describe("sft", () => {
  it.effect("learns the answers, and a diverging loss ends it, naming the step", () =>
    Effect.gen(function* () {
      const { outputs } = yield* run(rows, { epochs: 20, learningRate: 1e-2 })
      const [before, after] = outputs.report.figures.map((figure) => figure.value)
      assert.isBelow(after!, 0.1 * before!)
      const { message, place } = (yield* Effect.flip(run(rows, { learningRate: 1e30, warmup: 0 }))) as {
        readonly message: string
        readonly place: string
      }
      assert.match(place, /^step \d+$/)
      assert.match(message, /the loss at step \d+ is (NaN|Infinity): lower the learning rate/)
    })
  )

  it.effect("an overlong row is refused by its name, or dropped and counted", () =>
    Effect.gen(function* () {
      const long = { id: "long", prompt: "ab", answer: "c".repeat(20) }
      const { message } = yield* Effect.flip(run([...rows, long]))
      assert.match(message, /23 tokens do not fit the model's context of 16/)
      const { reports } = yield* run([...rows, long], { overlong: "drop" })
      assert.strictEqual(reports.at(-1)?.metrics?.["dropped"], 1)
    })
  )

  it.effect("empty prompts and answers are refused with their row", () =>
    Effect.gen(function* () {
      for (const part of ["prompt", "answer"] as const) {
        const bad = { ...rows[0]!, id: "empty", [part]: "" }
        const error = (yield* Effect.flip(run([rows[0]!, bad]))) as { readonly place: string; readonly message: string }
        assert.strictEqual(error.place, "demonstrations, row 1 (empty)")
        assert.include(error.message, `the ${part} is empty`)
      }
    })
  )
})
