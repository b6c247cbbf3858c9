/**
 * Time of a training step (loss, gradients, AdamW) on the CPU device: `node bench/training-step.ts`.
 * Prints the best of 12 steps at each size, in tokens/s, and its share of the FMA peak: model FLOPs are 6 N + 12 L C T a token (N without
 * position embeddings), as in nanoGPT; the peak is measured in the same run.
 */
import * as Effect from "effect/Effect"
import { build } from "../src/device/cpu/build.ts"
import { cpu } from "../src/device/cpu/cpu.ts"
import { load } from "../src/device/cpu/native.ts"
import { defaultCache, findCompiler, numerics } from "../src/device/cpu/toolchain.ts"
import { initialize, layout, type ModelConfig } from "../src/engine/model.ts"
import { adamW } from "../src/engine/optimizer.ts"
import * as Session from "../src/engine/session.ts"

const sizes = [
  { layers: 4, heads: 4, width: 128, vocabulary: 2048, context: 96, batch: 16 },
  { layers: 4, heads: 4, width: 256, vocabulary: 2048, context: 256, batch: 8 }
]

const secondsAStep = (config: ModelConfig, batch: number) =>
  Effect.gen(function* () {
    const session = yield* Session.make(initialize(config, 1))
    const length = config.context
    const tokens = Int32Array.from({ length: batch * length }, (_, i) => (i * 7919) % config.vocabulary)
    const targets = Int32Array.from(tokens, (token) => (token + 1) % config.vocabulary)
    let best = Number.POSITIVE_INFINITY
    for (let step = 0; step < 12; step++) {
      const start = performance.now()
      yield* session.languageModelLoss({ batch, length, tokens, targets, sequences: [] }, batch * length)
      yield* session.update(adamW, 1e-3)
      best = Math.min(best, (performance.now() - start) / 1000)
    }
    return best
  })

const program = Effect.gen(function* () {
  const cache = defaultCache()
  const compiler = findCompiler(cache)
  const native = yield* load(yield* build(compiler, cache, numerics(compiler, "f32"), "f32"))
  const peak = Math.max(...Array.from({ length: 10 }, () => native.peak(100)))
  console.log(`peak of one thread: ${(peak / 1e9).toFixed(1)} GFLOP/s`)
  for (const { batch, ...shape } of sizes) {
    const config: ModelConfig = { family: "gpt2", scalarHead: false, ...shape }
    for (const threads of [1, 2]) {
      const seconds = yield* secondsAStep(config, batch).pipe(Effect.scoped, Effect.provide(cpu({ threads })))
      const tokensPerSecond = (batch * config.context) / seconds
      const positions = config.context * config.width
      const flops = 6 * (layout(config).count - positions) + 12 * config.layers * config.width * config.context
      const share = (flops * tokensPerSecond) / (peak * threads)
      const { context, heads, layers, vocabulary, width } = config
      const name = `L${layers} H${heads} C${width} V${vocabulary} T${context} B${batch}, ${threads} threads`
      console.log(`${name}: ${Math.round(tokensPerSecond)} tokens/s, ${(100 * share).toFixed(0)}% of peak`)
    }
  }
})

await Effect.runPromise(program)
