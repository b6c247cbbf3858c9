import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { TokenOutOfRange } from "../../operators/chat/errors.ts"
import { shuffled } from "../../operators/order.ts"
import { pretrain, pretrainShards } from "../../operators/pretrain.ts"
import { TokenSequence } from "../../operators/rows.ts"
import { shardTokens, TokenShardsPort } from "../../operators/token-shards.ts"
import { startsOf } from "../../operators/token-source.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { philox } from "../../src/engine/random.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { temporaryBlobs } from "../table/blobs.ts"
import { makeStage } from "./stage.ts"

const tokenizerOf = (vocabularySize: number) =>
  ({ vocabularySize, special: { endOfText: 0, pad: 0 }, json: "" }) as unknown as Tokenizer
const tokensOf = (n: number, vocabulary: number, seed: number) =>
  Int32Array.from({ length: n }, (_, i) => philox([seed, 0], [i, 0, 0, 0])[0]! % vocabulary)
const tableOf = (parts: ReadonlyArray<Int32Array>) =>
  Table.fromRows(
    TokenSequence,
    parts.map((tokens, i) => ({ id: `d${i}`, tokens, bytes: 2 * tokens.length }))
  )

const shardsOf = Effect.fnUntraced(
  function* (parts: ReadonlyArray<Int32Array>, vocabulary: number, tokensPerShard: number) {
    const blobs = yield* temporaryBlobs
    const { shards } = yield* shardTokens.run({
      inputs: { tokens: tableOf(parts), tokenizer: tokenizerOf(vocabulary) },
      params: { shardTokens: tokensPerShard },
      sources: []
    })
    const artifact = yield* TokenShardsPort.encode(shards, blobs)
    return { artifact, blobs, shards: yield* TokenShardsPort.decode(artifact, blobs) }
  },
  Effect.provideService(Stage, makeStage().stage)
)

describe("token shards", () => {
  it.effect("are read at any place, across their ends, in 2 and in 4 bytes", () =>
    Effect.gen(function* () {
      for (const [vocabulary, width] of [
        [65_536, 2],
        [70_000, 4]
      ] as const) {
        const parts = [500, 1, 0, 1300, 199].map((n, i) => tokensOf(n, vocabulary, i))
        const all = Int32Array.from(parts.flatMap((part) => [...part]))
        const { artifact, blobs, shards } = yield* shardsOf(parts, vocabulary, 250)
        assert.deepInclude(artifact.meta, { count: 2000, bytes: 4000, width, shardTokens: 250 })
        assert.deepStrictEqual(
          Object.values(artifact.parts).map(({ bytes }) => bytes),
          Array.from({ length: 8 }, () => 250 * width)
        )
        for (let i = 0; i < 60; i++) {
          const from = (i * 337) % 1990
          const count = Math.min(2000 - from, 1 + ((i * 101) % 700))
          assert.deepStrictEqual(yield* shards.read(from, count), all.slice(from, from + count))
        }
        assert.match(
          (yield* Effect.flip(shards.read(1999, 2))).message,
          /tokens 1999 to 2001 are not all among its 2000/
        )
        // Written again, they are the same artifact.
        assert.deepStrictEqual(yield* TokenShardsPort.encode(shards, blobs), artifact)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("do not take a token that the tokenizer does not have", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(shardsOf([Int32Array.of(1, 2), Int32Array.of(3, 11)], 11, 4))
      assert.instanceOf(error, TokenOutOfRange)
      assert.strictEqual(error.place, "tokens, row 1 (d1)")
      assert.match(error.message, /token 1 is 11, the tokenizer's are 0 to 10/)
    }).pipe(Effect.scoped)
  )

  it.effect("train the model that tables train, bit for bit, in both orders", () =>
    Effect.gen(function* () {
      const [train, validation] = [[tokensOf(900, 11, 1)], [tokensOf(200, 11, 2)]]
      const tokenizer = tokenizerOf(11)
      const { shards } = yield* shardsOf(train, 11, 64)
      const { shards: held } = yield* shardsOf(validation, 11, 64)
      for (const order of ["random", "shuffled"]) {
        const params = Schema.decodeUnknownSync(pretrain.params)({
          order,
          layers: 1,
          heads: 2,
          width: 16,
          context: 32,
          batch: 4,
          steps: 12,
          warmup: 1,
          documents: "apart"
        })
        const inputs = { train: tableOf(train), validation: tableOf(validation), tokenizer }
        const table = yield* pretrain.run({ inputs, params, sources: [] })
        const streamed = yield* pretrainShards.run({
          inputs: { train: shards, validation: held, tokenizer },
          params,
          sources: []
        })
        assert.deepStrictEqual(streamed.checkpoint.weights, table.checkpoint.weights)
        assert.deepStrictEqual(streamed.report, table.report)
      }
    }).pipe(Effect.scoped, Effect.provideService(Stage, makeStage().stage), Effect.provide(cpu({ threads: 1 })))
  )
})

describe("the shuffled order", () => {
  it("is a permutation, of each epoch and seed its own", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer(), fc.nat(50), (n, seed, epoch) => {
        const order = Array.from({ length: n }, (_, i) => shuffled(n, seed, epoch, i))
        assert.deepStrictEqual(
          order.toSorted((a, b) => a - b),
          Array.from({ length: n }, (_, i) => i)
        )
      })
    )
    const orderOf = (seed: number, epoch: number) =>
      Array.from({ length: 100 }, (_, i) => shuffled(100, seed, epoch, i))
    assert.notDeepEqual(orderOf(1, 0), orderOf(1, 1))
    assert.notDeepEqual(orderOf(1, 0), orderOf(2, 0))
  })

  it("spreads what lies together: windows that follow each other come up anywhere", () => {
    const n = 10_000
    const order = Array.from({ length: n }, (_, i) => shuffled(n, 7, 0, i))
    const steps = order.slice(1).map((place, i) => Math.abs(place - order[i]!))
    // Of two places drawn at random the mean distance is a third.
    assert.closeTo(steps.reduce((sum, d) => sum + d, 0) / steps.length / n, 1 / 3, 0.02)
    const half = order.slice(0, n / 2).reduce((sum, place) => sum + place, 0) / (n / 2)
    assert.closeTo(half / n, 0.5, 0.02)
  })

  it("gives every window of an epoch once, however updates are cut, as a function of the step", () => {
    const [count, batch, length] = [32 * 10 + 1, 4, 32]
    const starts = Array.from({ length: 5 }, (_, step) => startsOf("shuffled", count, batch, length, 3, step)).flat()
    for (const epoch of [starts.slice(0, 10), starts.slice(10)]) {
      assert.deepStrictEqual(
        epoch.toSorted((a, b) => a - b),
        Array.from({ length: 10 }, (_, i) => 32 * i)
      )
    }
    assert.notDeepEqual(starts.slice(10), starts.slice(0, 10))
    assert.notDeepEqual(startsOf("shuffled", count, batch, length, 4, 0), starts.slice(0, 4))
    assert.deepStrictEqual(startsOf("shuffled", count, batch, length, 3, 4), starts.slice(16))
  })
})
