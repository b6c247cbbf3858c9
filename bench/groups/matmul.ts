/** The f32 matrix product, as a share of what the processor can do. */
import * as Effect from "effect/Effect"
import { Bench, type Group } from "../bench.ts"
import { compare } from "../compare.ts"

const size = 1024

export const matmul: Group = {
  name: "matmul",
  description: "the f32 matrix product of 1024 x 1024 matrices",
  byDefault: true,
  cases: [
    {
      name: `${size}`,
      run: Effect.gen(function* () {
        const { peers, threads } = yield* Bench
        const request = { work: "matmul", threads, size }
        const row = yield* compare({
          name: `matmul/${size}`,
          work: `matmul ${size}^3 f32`,
          unit: "GFLOP/s",
          units: (2 * size ** 3) / 1e9,
          flops: 2 * size ** 3,
          target: { kind: "share", value: 0.85 },
          ours: { variant: "f32", request },
          peer: { name: "PyTorch", peer: peers.torch, variants: [{ name: "eager", request }] },
          expected: {}
        })
        return [row]
      })
    }
  ]
}
