import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import charGpt from "../../pipelines/char-gpt.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Event } from "../../src/executor/event.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer } from "../../src/store/store.ts"
import { temporaryFiles } from "../operators/files.ts"

/** Only which of three words comes next is hard to tell: at most ln 3 nats for each six characters. */
const words = ["whale ", "storm ", "Ahab, "]
const text = Array.from({ length: 2_000 }, (_, i) => words[(i * i * 7 + (i >> 3)) % 3]).join("")

/** Runs the pipeline on files, and gives its events. */
const runOn = (files: Readonly<Record<string, string>>, settings: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFiles(files)
    const all = { ...settings, text: join(folder, "text.txt") }
    const graph = yield* Pipeline.build(
      charGpt,
      Object.entries(all).map(([path, value]) => ({ path, value }))
    )
    const events: Array<Event> = []
    yield* run(graph, { onEvent: (event) => Effect.sync(() => events.push(event)) }).pipe(
      Effect.provide(layer(join(folder, "store"))),
      Effect.provide(cpu({ threads: 1 })),
      Effect.exit
    )
    return events
  }).pipe(Effect.scoped)

const small = { layers: "1", heads: "2", width: "32", context: "24", batch: "8", steps: "200", learningRate: "1e-2" }

const failure = (events: ReadonlyArray<Event>) => {
  const failed = events.find((event) => event._tag === "StageFailed")
  return failed ?? assert.fail("no stage failed")
}

describe("the character pipeline", () => {
  it.live("learns a text to near its entropy, on the end of it that it did not see", () =>
    Effect.gen(function* () {
      const events = yield* runOn({ "text.txt": text }, small)
      const finished = events.find((event) => event._tag === "StageFinished" && event.stage === "pretrain")
      if (finished?._tag !== "StageFinished") return assert.fail("pretrain did not finish")
      const { unigramEntropy, validationLoss, validationLossBefore } = finished.metrics as Record<string, number>
      assert.approximately(validationLossBefore!, Math.log(new Set(text).size + 1), 0.2)
      assert.isAbove(unigramEntropy!, 2)
      assert.isBelow(validationLoss!, 0.5)
      assert.isAbove(validationLoss!, 0)
    })
  )

  it.live("says what is wrong with a file that is empty or too short for a window", () =>
    Effect.gen(function* () {
      const empty = failure(yield* runOn({ "text.txt": "" }, small))
      assert.strictEqual(empty.cause, "OperatorError")
      assert.match(empty.message, /there is no text: every document is empty/)
      const short = failure(yield* runOn({ "text.txt": "To be, or not to be: that is the question." }, small))
      assert.match(short.message, /5 tokens are too few for one window of 24/)
    })
  )

  it.live("says that a file is not there", () =>
    Effect.gen(function* () {
      const graph = yield* Pipeline.build(charGpt, [{ path: "text", value: "missing.txt" }])
      const store = layer(join(yield* temporaryFiles({}), "store"))
      const error = yield* run(graph, {}).pipe(Effect.provide(store), Effect.provide(cpu({ threads: 1 })), Effect.flip)
      assert.match(String(error), /there is no file or folder .*missing\.txt/)
    })
  )
})
