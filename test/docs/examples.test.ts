/** The examples of docs/examples, run. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Schema from "effect/Schema"
import { focalLoss, focalTune } from "../../docs/examples/own-loss.ts"
import varied from "../../docs/examples/own-operator.ts"
import { Dictionary, judgedByService, realWords, shortAnswers } from "../../docs/examples/own-reward.ts"
import { type Completion, Completion as CompletionRow, Demonstration } from "../../operators/answers.ts"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { scoreWith } from "../../operators/score-with.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import type { Event } from "../../src/executor/event.ts"
import { run } from "../../src/executor/run.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import { digitModel } from "../operators/binary.ts"
import { temporaryFiles } from "../operators/files.ts"
import { makeStage } from "../operators/stage.ts"

const staged = <A, E>(effect: Effect.Effect<A, E, Stage | Device>) => {
  const { reports, stage } = makeStage()
  return effect.pipe(
    Effect.map((value) => ({ value, reports })),
    Effect.provideService(Stage, stage),
    Effect.provide(cpu({ threads: 1 }))
  )
}

describe("a loss of one's own", () => {
  it("has the gradient of finite differences, and is cross-entropy where gamma is 0", () => {
    const targets = [3, -1, 0, 7]
    const at = [-0.1, 0, -2.3, -0.9]
    const { dLogProbability } = focalLoss(at, targets, 2)
    at.forEach((_, i) => {
      const moved = (delta: number) => focalLoss(at.with(i, at[i]! + delta), targets, 2).loss
      assert.closeTo(dLogProbability[i]!, targets[i]! < 0 ? 0 : (moved(1e-6) - moved(-1e-6)) / 2e-6, 1e-8)
    })
    assert.closeTo(focalLoss(at, targets, 0).loss, (0.1 + 2.3 + 0.9) / 3, 1e-12)
  })

  it.effect("trains", () =>
    Effect.gen(function* () {
      const { tokenizer, weights } = digitModel(8)
      const checkpoint: Checkpoint = { weights, tokenizer: { ...tokenizer, special: { endOfText: 7, pad: 7 } } }
      const rows = Array.from({ length: 6 }, (_, i) => ({ id: `d${i}`, prompt: `${i}`, answer: `${(i + 1) % 6}` }))
      const { reports } = yield* staged(
        focalTune.run({
          inputs: { checkpoint, demonstrations: Table.fromRows(Demonstration, rows) },
          params: { gamma: 2, steps: 60, learningRate: 1e-2 },
          sources: []
        })
      )
      assert.isAbove(reports[0]!.metrics!["loss"]!, 1)
      assert.isBelow(reports.at(-1)!.metrics!["loss"]!, 0.05)
    })
  )
})

const answers = ["1", "12345", "2"].map(
  (answer, i): Completion => ({
    id: `p${i}`,
    sample: 0,
    prompt: "0",
    answer,
    promptTokens: Int32Array.of(0),
    answerTokens: Int32Array.from(answer, Number),
    logProbabilities: new Float32Array(answer.length).fill(-2),
    temperature: 1,
    ended: i !== 2
  })
)
const inputs = { completions: Table.fromRows(CompletionRow, answers), reference: digitModel(8) }
const rewardsOf = <E>(
  effect: Effect.Effect<{ readonly scored: Table.Table<{ readonly reward: number }> }, E, Stage | Device>
) =>
  Effect.flatMap(staged(effect), ({ value }) =>
    Effect.map(Table.collect(value.scored), (rows) => rows.map(({ reward }) => reward))
  )

describe("a reward of one's own", () => {
  it.effect("a plain function", () =>
    Effect.gen(function* () {
      const rewards = yield* rewardsOf(shortAnswers.run({ inputs, params: { tokens: 4 }, sources: [] }))
      assert.deepStrictEqual(rewards, [1, 0.75, 0])
    })
  )

  it.effect("an Effect that needs a service", () =>
    Effect.gen(function* () {
      const rows = ["sea zzz", "sea ship", ""].map((answer, i) => ({ ...answers[i]!, answer }))
      const run = realWords.run({
        inputs: { ...inputs, completions: Table.fromRows(CompletionRow, rows) },
        params: {},
        sources: []
      })
      const dictionary = Dictionary.of({ has: (word) => Effect.succeed(["sea", "ship"].includes(word)) })
      assert.deepStrictEqual(yield* rewardsOf(Effect.provideService(run, Dictionary, dictionary)), [0.5, 1, 0])
    })
  )

  it.live("a service over HTTP, and what becomes of one that fails", () =>
    Effect.gen(function* () {
      let asked: unknown
      const server = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const server = createServer((request, response) => {
            let body = ""
            request.on("data", (data) => {
              body += data
            })
            request.on("end", () => {
              asked = JSON.parse(body)
              response.statusCode = request.url === "/broken" ? 503 : 200
              response.setHeader("content-type", "application/json")
              response.end(JSON.stringify({ rewards: request.url === "/short" ? [1] : [0.25, 0.5, -1] }))
            })
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const ask = (path: string) =>
        judgedByService
          .run({
            inputs,
            params: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, version: 1 },
            sources: []
          })
          .pipe(Effect.provide(FetchHttpClient.layer), rewardsOf)
      assert.deepStrictEqual(yield* ask("/"), [0.25, 0.5, -1])
      assert.deepStrictEqual(asked, { answers: answers.map(({ answer, prompt }) => ({ prompt, answer })) })
      assert.match(String(yield* Effect.flip(ask("/broken"))), /503/)
      assert.match(String(yield* Effect.flip(ask("/short"))), /1 numbers for 3 answers/)
    }).pipe(Effect.scoped)
  )

  it.effect("refuses a reward that is no number, naming the answer", () =>
    Effect.gen(function* () {
      const broken = scoreWith("broken", {
        description: "",
        params: Schema.Struct({}),
        reward: (rows) => rows.map((_, i) => (i === 1 ? Number.NaN : 0))
      })
      const error = yield* Effect.flip(rewardsOf(broken.run({ inputs, params: {}, sources: [] })))
      assert.match(String((error as { place: string }).place), /row 1 \(p1, sample 0\)/)
    })
  )
})

describe("an operator of one's own", () => {
  it.live("runs in a pipeline, and again only where a parameter reaches", () =>
    Effect.gen(function* () {
      const store = layer(join(yield* temporaryFiles({}), "store"))
      const once = Effect.fnUntraced(function* (share: string) {
        const events: Array<Event> = []
        const graph = yield* Pipeline.build(varied, [{ path: "share", value: share }])
        yield* run(graph, { onEvent: (event) => Effect.sync(() => events.push(event)) })
        return {
          ran: events.flatMap((event) => (event._tag === "StageFinished" ? [event.stage] : [])),
          metrics: events.flatMap((event) => (event._tag === "StageFinished" ? [event.metrics] : [])).at(-1)
        }
      }, Effect.provide(store))
      const first = yield* once("0.5")
      assert.deepStrictEqual(first.ran, ["two-documents", "keep-varied"])
      assert.deepInclude(first.metrics, { kept: 1, leftOut: 1 })
      assert.deepStrictEqual((yield* once("0.5")).ran, [])
      assert.deepStrictEqual((yield* once("0.1")).ran, ["keep-varied"])
    }).pipe(Effect.scoped)
  )
})
