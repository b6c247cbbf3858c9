/** One PPO iteration, against PyTorch. */
import * as Effect from "effect/Effect"
import { Bench, type Group } from "../bench.ts"
import { compare } from "../compare.ts"
import { forwardFlops, freshModel, models } from "../models.ts"

const prompt = 16
const fresh = 32
const epochs = 4

/** Rollout, reference, values, and three forward passes' worth for each epoch. */
const passes = 3 + 3 * epochs

export const ppo: Group = {
  name: "ppo",
  description: "one PPO iteration: rollout, reference, values, 4 epochs",
  byDefault: true,
  cases: [
    {
      name: "small",
      run: Effect.gen(function* () {
        const { peers, threads } = yield* Bench
        const shape = { ...models.small, batch: 32 }
        const request = { work: "ppo", threads, prompt, new: fresh, epochs, ...shape }
        const tokens = shape.batch * (prompt + fresh)
        const variants = [false, true].map((compile) => ({
          name: compile ? "compiled" : "eager",
          request: { ...request, compile }
        }))
        const row = yield* compare({
          name: "ppo/small",
          work: `PPO iteration, small, ${shape.batch} prompts x (${prompt} + ${fresh}) tokens, ${epochs} epochs`,
          unit: "tokens/s",
          units: tokens,
          flops: tokens * passes * forwardFlops(shape, prompt + fresh),
          target: { kind: "ratio", value: 2.5 },
          ours: { variant: "f32", request },
          peer: { name: "PyTorch", peer: peers.torch, variants },
          expected: freshModel(shape, true)
        })
        return [row]
      })
    }
  ]
}
