import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { pad, targetCount } from "../../src/engine/batch.ts"
import { generate } from "../../src/engine/generate.ts"
import { initialize, layout, type ModelConfig, type Weights, withScalarHead } from "../../src/engine/model.ts"
import { adamW } from "../../src/engine/optimizer.ts"
import * as Programs from "../../src/engine/programs.ts"
import { philox } from "../../src/engine/random.ts"
import * as Session from "../../src/engine/session.ts"

const gpt2: ModelConfig = {
  family: "gpt2",
  layers: 2,
  heads: 2,
  width: 32,
  vocabulary: 37,
  context: 48,
  scalarHead: false
}
const llama: ModelConfig = {
  family: "llama",
  layers: 2,
  heads: 4,
  keyHeads: 2,
  headWidth: 8,
  width: 32,
  feedForward: 72,
  vocabulary: 37,
  context: 48,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tied: true,
  scalarHead: false
}
/** What the families have in common is asked of each. */
const models = { gpt2, llama: { ...llama, tied: false } }
const kindsOfHead = {
  gpt2,
  "gpt2, untied": { ...gpt2, tied: false },
  llama: { ...llama, tied: false },
  "llama, tied": llama
}
const language = { language: true, scalar: false, temperature: 1 }

/** Token ids that are a function of `seed` alone. */
const randomTokens = (n: number, vocabulary: number, seed: number) =>
  Int32Array.from({ length: n }, (_, i) => philox([seed, 0], [i, 0, 0, 0])[0]! % vocabulary)

/** A batch of ragged sequences with a prompt each. */
const ragged = (vocabulary: number, lengths: ReadonlyArray<number>, seed = 5) =>
  pad(
    lengths.map((n, i) => ({ tokens: randomTokens(n, vocabulary, seed + i), from: 1 + (i % 3) })),
    { multiple: 1 }
  )

describe("initial weights", () => {
  it.effect("loss at the start is ln V + s^2 C / 2: GPT-2's vocabulary and width, and nanoGPT's for characters", () =>
    Effect.gen(function* () {
      for (const [heads, width, vocabulary, expected] of [
        [12, 768, 50257, 10.978],
        [6, 384, 65, 4.251]
      ] as const) {
        const config = { ...gpt2, layers: 1, heads, width, vocabulary, context: 64 }
        const session = yield* Session.make(initialize(config, 1))
        const batch = pad([{ tokens: randomTokens(64, vocabulary, 1), from: 1 }])
        const { logProbability } = yield* session.statistics(batch, language)
        const loss = -Array.from(logProbability).reduce((sum, x) => sum + x, 0) / targetCount(batch)
        assert.closeTo(loss, expected, 0.08)
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})

describe.each(Object.entries(kindsOfHead))("gradients: %s", (_, tiny) => {
  it.effect("the gradient of the whole model equals central differences in float64", () =>
    Effect.gen(function* () {
      const weights = withScalarHead(initialize({ ...tiny, width: 16, vocabulary: 11 }, 3), "reward", 4)
      const batch = ragged(11, [9, 4, 7])
      const heads = { language: true, scalar: true, temperature: 0.7 }
      const weigh = (i: number) => Math.sin(1 + i)
      const loss = (s: Session.Statistics) => {
        const rows = s.value.length
        const part = (f: (i: number) => number) => Float64Array.from({ length: rows }, (_, i) => f(i))
        let value = 0
        for (let i = 0; i < rows; i++) {
          const counted = batch.targets[i]! >= 0 ? 1 : 0
          value += weigh(i) * s.logProbability[i]! + counted * weigh(i + 50) * s.entropy[i]! + 0.5 * s.value[i]! ** 2
        }
        return {
          loss: value,
          dLogProbability: part(weigh),
          dEntropy: part((i) => (batch.targets[i]! >= 0 ? weigh(i + 50) : 0)),
          dValue: part((i) => s.value[i]!)
        }
      }
      const at = (values: Float32Array) =>
        Effect.gen(function* () {
          const session = yield* Session.make({ ...weights, values })
          return loss(yield* session.statistics(batch, heads)).loss
        }).pipe(Effect.scoped)
      const session = yield* Session.make(weights)
      yield* session.customLoss(batch, heads, loss)
      const gradients = yield* session.gradients
      // Weights are f32, so the step is the difference of two f32 numbers.
      for (const { name, offset, shape } of layout(weights.config).parameters) {
        const count = shape.reduce((a, b) => a * b, 1)
        for (const i of new Set([0, Math.floor(count / 2), count - 1])) {
          const [up, down] = [1, -1].map((sign) => {
            const moved = weights.values.slice()
            moved[offset + i] = moved[offset + i]! + sign * 2 ** -16
            return moved
          }) as [Float32Array, Float32Array]
          const difference = ((yield* at(up)) - (yield* at(down))) / (up[offset + i]! - down[offset + i]!)
          const gradient = gradients[offset + i]!
          assert.closeTo(gradient, difference, 1e-6 * Math.max(1, Math.abs(difference)), `${name}[${i}]`)
        }
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ real: "f64" })))
  )
})

describe.each(Object.entries(models))("model: %s", (_, tiny) => {
  it.effect("overfits one batch to near zero", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      // Without learned positions a text of one token, repeated, looks the same however long it is: the first two are not predicted.
      const batch = pad(
        [5, 6, 7, 8].map((seed) => ({ tokens: randomTokens(33, tiny.vocabulary, seed), from: 3 })),
        { multiple: 1 }
      )
      let loss = Number.POSITIVE_INFINITY
      for (let step = 0; step < 300; step++) {
        loss = yield* session.languageModelLoss(batch, targetCount(batch))
        yield* session.update({ ...adamW, weightDecay: 0 }, 3e-3)
      }
      assert.isBelow(loss, 0.01)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("is causal: a changed token leaves everything before it bit-equal", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(withScalarHead(initialize(tiny, 1), "reward", 1))
      const heads = { language: true, scalar: true, temperature: 1 }
      const tokens = randomTokens(40, tiny.vocabulary, 2)
      const changed = tokens.slice()
      changed[23] = (changed[23]! + 1) % tiny.vocabulary
      const of = (t: Int32Array) => session.statistics(pad([{ tokens: t, from: 1 }]), heads)
      const [a, b] = [yield* of(tokens), yield* of(changed)]
      // Row 22 predicts token 23 itself: its entropy is of the past, its log-probability of the changed target.
      assert.deepStrictEqual(a.logProbability.slice(0, 22), b.logProbability.slice(0, 22))
      assert.deepStrictEqual(a.entropy.slice(0, 23), b.entropy.slice(0, 23))
      assert.deepStrictEqual(a.value.slice(0, 23), b.value.slice(0, 23))
      assert.notStrictEqual(a.value[23], b.value[23])
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("statistics of a sequence do not depend on the batch it sits in", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const sequence = { tokens: randomTokens(21, tiny.vocabulary, 9), from: 4 }
      const others = [40, 3, 17].map((n) => ({ tokens: randomTokens(n, tiny.vocabulary, n), from: 1 }))
      const alone = yield* session.statistics(pad([sequence]), language)
      const padded = pad([...others, sequence])
      const together = yield* session.statistics(padded, language)
      const at = 3 * padded.length
      assert.deepStrictEqual(together.logProbability.slice(at, at + 20), alone.logProbability.slice(0, 20))
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("micro-batches: 1 x 8 equals 8 x 1 by tokens", () =>
    Effect.gen(function* () {
      const lengths = [33, 5, 12, 20, 8, 31, 2, 16]
      const whole = ragged(tiny.vocabulary, lengths)
      const run = (parts: ReadonlyArray<ReturnType<typeof pad>>) =>
        Effect.gen(function* () {
          const session = yield* Session.make(initialize(tiny, 1))
          let loss = 0
          for (const part of parts) loss += yield* session.languageModelLoss(part, targetCount(whole))
          return { loss, norm: yield* session.update(adamW, 1e-3) }
        }).pipe(Effect.scoped)
      const one = yield* run([whole])
      const eight = yield* run(whole.sequences.map((s) => pad([s], { multiple: 1 })))
      assert.closeTo(eight.loss, one.loss, 1e-5)
      assert.closeTo(eight.norm, one.norm, 1e-5)
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )

  it("the same bits with 1, 2 and 4 threads", async () => {
    const train = (threads: number) =>
      Effect.gen(function* () {
        const session = yield* Session.make(withScalarHead(initialize(tiny, 1), "reward", 1))
        const batch = ragged(tiny.vocabulary, [33, 20, 48, 7, 41])
        for (let step = 0; step < 5; step++) {
          yield* session.languageModelLoss(batch, targetCount(batch))
          yield* session.customLoss(batch, { language: true, scalar: true, temperature: 1 }, ({ value }) => ({
            loss: 0,
            dEntropy: Float64Array.from(batch.targets, (t) => (t < 0 ? 0 : -1e-3)),
            dValue: Float64Array.from(value, (v) => 1e-2 * (v - 1))
          }))
          yield* session.update(adamW, 1e-3)
        }
        return yield* session.weights
      }).pipe(Effect.scoped, Effect.provide(cpu({ threads })), Effect.runPromise)
    const [one, two, four] = [await train(1), await train(2), await train(4)] as [Weights, Weights, Weights]
    assert.deepStrictEqual(two.values, one.values)
    assert.deepStrictEqual(four.values, one.values)
  })

  it.effect("recomputed activations: the same gradients bit for bit, in a smaller arena", () =>
    Effect.gen(function* () {
      const batch = ragged(tiny.vocabulary, [30, 17, 48, 5])
      const gradients = Effect.fnUntraced(function* (recompute: boolean) {
        const session = yield* Session.make(initialize(tiny, 2))
        const { plan, ports } = Programs.languageModel(tiny, batch, session.real, "f32", recompute)
        const loaded = yield* session.load(plan)
        const rows = batch.batch * batch.length
        yield* loaded.write(
          ports.positions,
          Int32Array.from({ length: rows }, (_, i) => i % batch.length)
        )
        yield* loaded.write(ports.ids, batch.tokens)
        yield* loaded.write(ports.targets, batch.targets)
        yield* loaded.write(
          ports.dLogProbability,
          Float64Array.from(batch.targets, (t) => (t < 0 ? 0 : -1))
        )
        yield* (yield* loaded.executable("languageModel")).run()
        return { values: yield* session.gradients, arenaBytes: plan.arenaBytes }
      })
      const kept = yield* gradients(false)
      const again = yield* gradients(true)
      assert.deepStrictEqual(again.values, kept.values)
      assert.isAbove(Math.max(...kept.values), 0)
      assert.isBelow(again.arenaBytes, 0.85 * kept.arenaBytes)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 2 })))
  )

  it.effect("a session that owns its weights frees the host's buffer and keeps their values", () =>
    Effect.gen(function* () {
      const [owned, kept] = [initialize(tiny, 2), initialize(tiny, 2)]
      const session = yield* Session.make(owned, { own: true })
      yield* Session.make(kept)
      assert.strictEqual(owned.values.length, 0)
      assert.deepStrictEqual((yield* session.weights).values, initialize(tiny, 2).values)
      assert.deepStrictEqual(kept.values, initialize(tiny, 2).values)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("going on from saved weights and moments gives the same bits", () =>
    Effect.gen(function* () {
      const batch = ragged(tiny.vocabulary, [33, 20])
      const steps = (session: Session.Session, count: number) =>
        Effect.gen(function* () {
          for (let step = 0; step < count; step++) {
            yield* session.languageModelLoss(batch, targetCount(batch))
            yield* session.update(adamW, 1e-3)
          }
          return yield* session.weights
        })
      const straight = yield* steps(yield* Session.make(initialize(tiny, 1)), 20)
      const first = yield* Session.make(initialize(tiny, 1))
      const halfway = yield* steps(first, 10)
      const second = yield* Session.make(halfway, { state: yield* first.optimizerState })
      assert.deepStrictEqual((yield* steps(second, 10)).values, straight.values)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("refuses a batch longer than the context, and weights of another configuration", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const long = pad([{ tokens: randomTokens(49, tiny.vocabulary, 1), from: 1 }])
      const error = yield* Effect.flip(session.statistics(long, language))
      assert.match(error.message, /64 tokens .* context of 48/)
      const wrong = yield* Effect.flip(Session.make({ config: tiny, values: new Float32Array(3) }))
      assert.match(wrong.message, /another configuration/)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})

describe("configurations that cannot be", () => {
  it.effect("are refused by name", () =>
    Effect.gen(function* () {
      const refused = (config: ModelConfig) =>
        Effect.map(Effect.flip(Session.make({ config, values: new Float32Array(0) })), (error) => error.message)
      assert.match(yield* refused({ ...gpt2, heads: 5 }), /32 is not a multiple of heads 5/)
      assert.match(yield* refused({ ...llama, keyHeads: 3 }), /heads 4 is not a multiple of keyHeads 3/)
      assert.match(yield* refused({ ...llama, headWidth: 7 }), /7 is odd/)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})

describe.each(Object.entries(models))("generation: %s", (_, tiny) => {
  const prompts = [3, 1, 12, 7, 30].map((n) => randomTokens(n, tiny.vocabulary, n))
  const requests = prompts.map((prompt, i) => ({ prompt, key: [i, 99] as const, limit: 18 }))
  const sampling = { temperature: 0.8, topK: 0, topP: 1, endToken: 5 }

  it.effect("captured log-probabilities equal those of a full forward pass, bit for bit", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const completions = yield* generate(session, requests, sampling, { batch: 3 })
      for (const [i, { logProbabilities, tokens }] of completions.entries()) {
        const prompt = prompts[i]!
        assert.isTrue(tokens.length === 18 || tokens.at(-1) === 5)
        const joined = { tokens: Int32Array.from([...prompt, ...tokens]), from: prompt.length }
        const { logProbability } = yield* session.statistics(pad([joined]), { ...language, temperature: 0.8 })
        tokens.forEach((_, t) => {
          assert.strictEqual(logProbabilities[t]!, logProbability[prompt.length - 1 + t]!)
        })
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("a text depends on its prompt and key alone, not on the batch", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const together = yield* generate(session, requests, sampling)
      for (const [i, request] of requests.entries()) {
        const [alone] = yield* generate(session, [request], sampling)
        assert.deepStrictEqual(alone, together[i])
      }
      assert.notDeepEqual(
        (yield* generate(session, [{ ...requests[2]!, key: [77, 1] }], sampling))[0]!.tokens,
        together[2]!.tokens
      )
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("a slot that ends takes the next prompt, and no text changes", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const many = Array.from({ length: 23 }, (_, i) => ({
        prompt: randomTokens(1 + ((i * 7) % 20), tiny.vocabulary, i),
        key: [i, 7] as const,
        limit: 1 + ((i * 11) % 24)
      }))
      const alone = yield* Effect.forEach(many, (request) => generate(session, [request], sampling))
      const prefixes: Array<number> = []
      const together = yield* generate(session, many, sampling, {
        batch: 4,
        onBatch: (completions) => Effect.sync(() => prefixes.push(completions.length))
      })
      assert.deepStrictEqual(together, alone.flat())
      assert.deepStrictEqual(
        [...prefixes].sort((a, b) => a - b),
        prefixes
      )
      assert.strictEqual(prefixes.at(-1), 23)
      const resumed = yield* generate(session, many, sampling, { batch: 9, made: together.slice(0, 6) })
      assert.deepStrictEqual(resumed, together)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("an answer ends with its first stop token", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const free = yield* generate(session, requests, sampling)
      const stopTokens = [free[0]!.tokens[5]!, free[3]!.tokens[2]!]
      const stopped = yield* generate(session, requests, sampling, { stopTokens, batch: 2 })
      for (const [i, { logProbabilities, tokens }] of free.entries()) {
        const at = tokens.findIndex((token) => stopTokens.includes(token))
        const length = at < 0 ? tokens.length : at + 1
        assert.deepStrictEqual(stopped[i]!.tokens, tokens.slice(0, length))
        assert.deepStrictEqual(stopped[i]!.logProbabilities, logProbabilities.slice(0, length))
      }
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("an answer does not end with what another left in its slot", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const [first] = requests
      const [answer] = yield* generate(session, [first!], sampling)
      const stop = answer!.tokens[1]!
      // The second prompt ends where the first answer does.
      const length = first!.prompt.length + answer!.tokens.indexOf(stop) + 1
      const second = { prompt: randomTokens(length, tiny.vocabulary, 8), key: [5, 0] as const, limit: 6 }
      const [free] = yield* generate(session, [second], sampling)
      const end = free!.tokens.indexOf(stop)
      const together = yield* generate(session, [first!, second], sampling, { stopTokens: [stop], batch: 1 })
      assert.deepStrictEqual(together[1]!.tokens, end < 0 ? free!.tokens : free!.tokens.slice(0, end + 1))
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("argmax follows a model trained to count", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const counting = pad(
        Array.from({ length: 8 }, (_, i) => ({
          tokens: Int32Array.from({ length: 24 }, (_, t) => (t + i) % 30),
          from: 1
        })),
        { multiple: 8 }
      )
      for (let step = 0; step < 200; step++) {
        yield* session.languageModelLoss(counting, targetCount(counting))
        yield* session.update(adamW, 3e-3)
      }
      const request = { prompt: Int32Array.from([4, 5]), key: [0, 0] as const, limit: 6 }
      const greedy = { ...sampling, temperature: 0, endToken: 9 }
      const [completion] = yield* generate(session, [request], greedy)
      assert.deepStrictEqual([...completion!.tokens], [6, 7, 8, 9])
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("refuses an empty prompt and an answer that would not fit", () =>
    Effect.gen(function* () {
      const session = yield* Session.make(initialize(tiny, 1))
      const bad = (request: (typeof requests)[number]) =>
        Effect.map(Effect.flip(generate(session, [requests[0]!, request], sampling)), (error) => error.message)
      assert.match(yield* bad({ ...requests[0]!, prompt: new Int32Array(0) }), /at least one token/)
      assert.match(yield* bad({ ...requests[0]!, limit: 46 }), /may reach 49 tokens, the model's context is 48/)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})
