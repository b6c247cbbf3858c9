/** The processor's peak, measured. */
import * as Effect from "effect/Effect"
import { defaultCache } from "../../src/device/cache.ts"
import { build } from "../../src/device/cpu/build.ts"
import { load } from "../../src/device/cpu/native.ts"
import { findCompiler, numerics } from "../../src/device/cpu/toolchain.ts"

/** The most FLOP/s of f32 fused multiply-adds that one thread reached in six runs of 50 ms. */
export const peak = Effect.gen(function* () {
  const cache = defaultCache()
  const compiler = findCompiler(cache)
  const native = yield* load(yield* build(compiler, cache, numerics(compiler, "f32"), "f32"))
  let most = 0
  for (let run = 0; run < 6; run++) most = Math.max(most, native.peak(50))
  return most
})
