/** Generation with a key-value cache, against PyTorch. */
import * as Effect from "effect/Effect"
import { Bench, type Case, type Group } from "../bench.ts"
import { compare } from "../compare.ts"
import { forwardFlops, freshModel, models } from "../models.ts"

const prompt = 16
const fresh = 64
const targets = { 1: 3, 16: 4, 64: 4 }

const caseOf = (batch: 1 | 16 | 64): Case => ({
  name: `batch-${batch}`,
  run: Effect.gen(function* () {
    const { peers, threads } = yield* Bench
    const shape = { ...models.small, batch }
    const request = { work: "generate", threads, prompt, new: fresh, ...shape }
    const variants = [false, true].map((compile) => ({
      name: compile ? "compiled" : "eager",
      request: { ...request, compile }
    }))
    // One sequence is so little work that waiting for a second thread may cost more than it brings.
    const alone = variants.map(({ name, request }) => ({
      name: `${name}, 1 thread`,
      request: { ...request, threads: 1 }
    }))
    const row = yield* compare({
      name: `generate/batch-${batch}`,
      work: `generation, small, ${prompt} + ${fresh} tokens, batch ${batch}`,
      unit: "new tokens/s",
      units: batch * fresh,
      flops: batch * (prompt + fresh) * forwardFlops(shape, prompt + fresh),
      target: { kind: "ratio", value: targets[batch] },
      ours: { variant: "f32", request },
      peer: { name: "PyTorch", peer: peers.torch, variants: batch === 1 ? [...variants, ...alone] : variants },
      expected: freshModel(shape)
    })
    return [row]
  })
})

export const generate: Group = {
  name: "generate",
  description: "generation with a key-value cache, batch 1, 16 and 64",
  byDefault: true,
  cases: [caseOf(1), caseOf(16), caseOf(64)]
}
