/**
 * Step 0: pretrain a GPT on a corpus, next token by next token.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { targetCount } from "../src/engine/batch.ts"
import { initializeInTurns } from "../src/engine/model.ts"
import * as Session from "../src/engine/session.ts"
import * as Operator from "../src/operator/operator.ts"
import { Stage } from "../src/operator/stage.ts"
import * as Table from "../src/table/index.ts"
import { architectureParams, configOf } from "./architecture.ts"
import { type Checkpoint, CheckpointPort } from "./checkpoint.ts"
import * as Pace from "./pace.ts"
import { PositiveInt, parameter } from "./parameter.ts"
import { ReportPort } from "./report.ts"
import { TokenSequence } from "./rows.ts"
import { TokenShardsPort } from "./token-shards.ts"
import type { TokenSource } from "./token-source.ts"
import * as Source from "./token-source.ts"
import { encoding } from "./tokenizer/encoding.ts"
import { type Tokenizer, TokenizerPort } from "./tokenizer/port.ts"
import { endOfText } from "./tokenizer/tokenizer.ts"
import { makeStopper, makeTrainer, recomputing, trainingParams } from "./training.ts"
import * as Windows from "./windows.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Parameters of pretraining; the model's vocabulary is the tokenizer's. */
export const PretrainParams = Schema.Struct({
  ...architectureParams,
  batch: parameter(PositiveInt, 16, "windows an update"),
  steps: parameter(PositiveInt, 1000, "updates"),
  order: parameter(
    Schema.Literals(["random", "shuffled"]),
    "random",
    "windows at random places, drawn with replacement; or each window of the text once an epoch, shuffled"
  ),
  ...trainingParams({ learningRate: 2e-3, warmup: 50, final: 0.1 }),
  documents: parameter(
    Schema.Literals(["joined", "apart"]),
    "joined",
    "whether a window's documents see the ones before them (as nanoGPT's do), or attention and positions begin anew with each"
  ),
  validationWindows: parameter(
    Count,
    64,
    "windows of validation text that losses are measured on, from its start; 0: all of it"
  ),
  validateEvery: parameter(Count, 0, "updates between measurements of the validation loss; 0: before and after only"),
  patience: parameter(
    Count,
    0,
    "measurements without a new lowest validation loss after which training stops; 0: never"
  ),
  seed: parameter(Schema.Int, 1, "of the initial weights and the order of the data")
})
export type PretrainParams = typeof PretrainParams.Type

const trainOn = Effect.fnUntraced(function* (
  operator: string,
  sources: { readonly train: TokenSource; readonly validation: TokenSource },
  tokenizer: Tokenizer,
  params: PretrainParams
) {
  const stage = yield* Stage
  const { train, validation } = sources
  const config = configOf(params, tokenizer.vocabularySize)
  for (const [name, { count }] of Object.entries(sources)) {
    if (count > params.context) continue
    const message = `${count} tokens are too few for one window of ${params.context}: give more text or a shorter context`
    return yield* new Operator.OperatorError({ operator, place: name, message })
  }

  const saved = yield* stage.resume(CheckpointPort)
  const start = Option.isSome(saved) ? saved.value : undefined
  const weights = start?.value.weights ?? (yield* initializeInTurns(config, params.seed))
  const session = yield* Session.make(weights, {
    state: start?.value.optimizer,
    precision: params.precision,
    recompute: recomputing(params),
    own: start === undefined
  })
  const limit = params.validationWindows === 0 ? Number.POSITIVE_INFINITY : params.validationWindows
  const separator =
    params.documents === "apart" ? yield* encoding(operator, "tokenizer", () => endOfText(tokenizer)) : undefined
  const windowsAt = (source: TokenSource, starts: ReadonlyArray<number>) =>
    Effect.map(Source.windowsAt(source, starts, params.context), (batch) =>
      separator === undefined ? batch : Windows.byDocument(batch, separator)
    )
  const measured = Windows.consecutiveStarts(validation.count, params.batch, params.context, limit)
  const validate = Effect.gen(function* () {
    let sum = 0
    let count = 0
    for (const starts of measured) {
      const batch = yield* windowsAt(validation, starts)
      const { logProbability } = yield* session.statistics(batch, { language: true, scalar: false, temperature: 1 })
      for (const value of logProbability) sum -= value
      count += targetCount(batch)
    }
    return sum / count
  })

  const first = start?.step ?? 0
  const state = start?.value.state ?? {}
  const before = state["validationLossBefore"] ?? (yield* validate)
  const trainer = makeTrainer(session, params, params.steps, state)
  const stopper = makeStopper(params.patience, state)
  const checkpoint = Effect.gen(function* () {
    const value: Checkpoint = {
      weights: yield* session.weights,
      tokenizer,
      optimizer: yield* session.optimizerState,
      state: { validationLossBefore: before, ...trainer.state(), ...stopper.state() }
    }
    return value
  })
  const pace = yield* Pace.make(params.steps, yield* Pace.useOf(config))
  for (let step = first; step < params.steps; step++) {
    const starts = Source.startsOf(params.order, train.count, params.batch, params.context, params.seed, step)
    const batch = yield* windowsAt(train, starts)
    const metrics = yield* trainer.update(batch, step)
    yield* Pace.refuseDivergence(stage.name, step + 1, metrics.loss)
    const rows = { train: train.rowsAt(starts, params.context) }
    yield* stage.learned({ step: step + 1, loss: metrics.loss, rows })
    yield* pace.done(step + 1, params.batch * params.context, metrics)
    if (step + 1 === params.steps) break
    if (params.validateEvery > 0 && (step + 1) % params.validateEvery === 0) {
      const validationLoss = yield* pace.aside(validate)
      yield* stage.report({ step: step + 1, steps: params.steps, metrics: { validationLoss } })
      if (stopper.isOver(validationLoss)) break
    }
    yield* pace.save(Effect.flatMap(checkpoint, (value) => stage.save(CheckpointPort, { step: step + 1, value })))
  }

  const after = yield* validate
  const bitsPerByte = (loss: number) => ((loss / Math.LN2) * validation.count) / validation.bytes
  const entropy = yield* Source.unigramEntropy(train, config.vocabulary)
  yield* stage.report({ metrics: { validationLoss: after, validationLossBefore: before, unigramEntropy: entropy } })
  const unit = "nats/token"
  return {
    checkpoint: { weights: yield* session.weights, tokenizer },
    report: {
      title: "Pretraining",
      figures: [
        { name: "validation loss before", value: before, unit },
        { name: "validation loss after", value: after, unit },
        { name: "validation bits per byte before", value: bitsPerByte(before), unit: "bits/byte" },
        { name: "validation bits per byte after", value: bitsPerByte(after), unit: "bits/byte" },
        { name: "unigram entropy of the corpus", value: entropy, unit, note: "the best that ignores context can do" }
      ],
      samples: []
    }
  }
}, Effect.scoped)

/**
 * Trains with AdamW (nanoGPT's settings), by default warm-up and cosine, on windows drawn at random. A spike guard, an early stop and micro-batches
 * are there to be asked for. Figures: validation loss before and after (nats a token, bits a byte) beside the unigram entropy of the corpus.
 */
export const pretrain = Operator.make("pretrain", {
  description: "Pretrains a GPT on token sequences",
  params: PretrainParams,
  inputs: { train: Table.of(TokenSequence), validation: Table.of(TokenSequence), tokenizer: TokenizerPort },
  outputs: { checkpoint: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const train = Source.ofStream(yield* Windows.read(inputs.train))
    const validation = Source.ofStream(yield* Windows.read(inputs.validation))
    return yield* trainOn("pretrain", { train, validation }, inputs.tokenizer, params)
  })
})

/** The same from shards on disk (`shardTokens`): a window's tokens are read when it is trained on, so the text may be larger than memory. */
export const pretrainShards = Operator.make("pretrain-shards", {
  description: "Pretrains a GPT on tokens in shards on disk",
  params: PretrainParams,
  inputs: { train: TokenShardsPort, validation: TokenShardsPort, tokenizer: TokenizerPort },
  outputs: { checkpoint: CheckpointPort, report: ReportPort },
  usesDevice: true,
  run: ({ inputs: { tokenizer, ...sources }, params }) => trainOn("pretrain-shards", sources, tokenizer, params)
})
