/** Every stage that saves resume points, cut off after each of several of them: what it gives when it goes on has the same bits (rows 17 and 18). */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Demonstration, Prompt, Ranking } from "../../operators/answers.ts"
import { dpo } from "../../operators/dpo.ts"
import { grpo } from "../../operators/grpo.ts"
import { SaveInterval } from "../../operators/pace.ts"
import { ppo, ppoCriticPtx } from "../../operators/ppo.ts"
import { pretrain } from "../../operators/pretrain.ts"
import { trainReward } from "../../operators/reward.ts"
import { rloo } from "../../operators/rloo.ts"
import { rollout } from "../../operators/rollout.ts"
import { Document } from "../../operators/rows.ts"
import { score } from "../../operators/score.ts"
import { sft } from "../../operators/sft.ts"
import { tokenize } from "../../operators/tokenize.ts"
import { trainTokenizer } from "../../operators/train-tokenizer.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Device } from "../../src/device/device.ts"
import { execute, type StageRequest } from "../../src/executor/execute.ts"
import type { Artifact } from "../../src/operator/artifact.ts"
import type { AnyOperator } from "../../src/operator/operator.ts"
import type { Port } from "../../src/operator/port.ts"
import { open, type Store } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import { newFolder } from "../store/folder.ts"

class Killed extends Error {}

type Artifacts = { readonly [port: string]: Artifact }

/** Runs a stage that dies when it would save a resume point after the first `saves`. */
const attempt = (
  store: Store["Service"],
  key: string,
  operator: AnyOperator,
  params: object,
  inputs: Artifacts,
  saves: number
) => {
  const request = {
    key,
    stage: operator.name,
    operator: { name: operator.name, version: operator.version },
    preimage: {
      operator: operator.name,
      inputs: Object.fromEntries(Object.entries(inputs).map(([port, { digest }]) => [port, { digest }]))
    },
    params: Schema.encodeSync(operator.params as Schema.Codec<unknown, Schema.Json>)(
      Schema.decodeUnknownSync(operator.params as Schema.Codec<unknown, Schema.Json>)(params)
    ),
    inputs,
    sources: []
  } as unknown as StageRequest
  let saved = 0
  const maySave = Effect.suspend(() => (++saved > saves ? Effect.die(new Killed()) : Effect.succeed(true)))
  return execute<Device>(store, request, operator, { onUpdate: () => Effect.void, maySave }).pipe(
    Effect.provideService(SaveInterval, 0)
  )
}

/** The metrics last reported, but for those that are a time. */
const withoutSpeed = ({
  mfu: _use,
  secondsPerStep: _time,
  tokensPerSecond: _speed,
  ...metrics
}: {
  readonly [name: string]: number
}) => metrics

let keys = 0

/** What a stage gives; with `cuts`, also when it is cut off after each of these numbers of resume points. */
const obtain = Effect.fnUntraced(function* (
  store: Store["Service"],
  operator: AnyOperator,
  params: object,
  inputs: Artifacts,
  cuts: ReadonlyArray<number> = []
) {
  const number = keys++
  const whole = yield* attempt(
    store,
    `${operator.name}-${number}-whole`,
    operator,
    params,
    inputs,
    Number.POSITIVE_INFINITY
  )
  assert.isUndefined(whole.resumedFrom)
  for (const cut of cuts) {
    const key = `${operator.name}-${number}-${cut}`
    const exit = yield* Effect.exit(attempt(store, key, operator, params, inputs, cut))
    assert.strictEqual(exit._tag, "Failure", `${operator.name} has no ${cut + 1} resume points`)
    const resumed = yield* attempt(store, key, operator, params, inputs, Number.POSITIVE_INFINITY)
    assert.isAbove(resumed.resumedFrom ?? 0, 0, `${operator.name}, cut off after ${cut}`)
    assert.deepStrictEqual(resumed.outputs, whole.outputs, `${operator.name}, cut off after ${cut}`)
    assert.deepStrictEqual(withoutSpeed(resumed.metrics), withoutSpeed(whole.metrics))
  }
  return whole.outputs
})

const words = "the sea was calm and the old captain looked at the white whale with a good and bitter heart".split(" ")
const sentence = (n: number) =>
  Array.from({ length: 12 }, (_, i) => words[(n * 7 + i * (1 + (n % 5))) % words.length]).join(" ")

describe("a stage that was cut off goes on to the same bits", () => {
  it.live("tokenizer training, pretraining, fine-tuning, reward model, rollout, PPO, DPO, GRPO and RLOO", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const put = <A>(port: Port<A>, value: A) => port.encode(value, store.sink)
      const table = <Row>(row: Table.RowSchema<Row>, rows: ReadonlyArray<Row>) =>
        put(Table.of(row), Table.fromRows(row, rows))
      const documents = yield* table(
        Document,
        Array.from({ length: 60 }, (_, n) => ({ id: `d${n}`, text: sentence(n).repeat(3), source: "a" }))
      )
      const { tokenizer } = yield* obtain(store, trainTokenizer, { vocabularySize: 330 }, { documents }, [1, 20])
      const split = yield* obtain(store, tokenize, { validationFraction: 0.2 }, { documents, tokenizer: tokenizer! })
      const small = { layers: 1, heads: 2, width: 16, context: 64, batch: 4, steps: 6, warmup: 1, validationWindows: 4 }
      const inputs = { train: split["train"]!, validation: split["validation"]!, tokenizer: tokenizer! }
      const { checkpoint } = yield* obtain(store, pretrain, small, inputs, [1, 3])

      const demonstrations = yield* table(
        Demonstration,
        Array.from({ length: 40 }, (_, n) => ({
          id: `e${n}`,
          prompt: words[n % 9]!,
          answer: ` ${words[(n * 3) % 12]}`
        }))
      )
      const tune = { epochs: 2, batch: 8, warmup: 1 }
      const tuned = yield* obtain(store, sft, tune, { checkpoint: checkpoint!, demonstrations }, [1, 4])

      const rankings = yield* table(
        Ranking,
        Array.from({ length: 40 }, (_, n) => ({
          id: `r${n}`,
          prompt: words[n % 9]!,
          answers: [` ${words[n % 12]}`, ` ${words[(n + 5) % 12]}`],
          ranks: [1 + (n % 2), 2 - (n % 2)]
        }))
      )
      const judge = { epochs: 2, batch: 8, warmup: 1 }
      const reward = yield* obtain(store, trainReward, judge, { checkpoint: tuned["checkpoint"]!, rankings }, [1, 5])

      const prompts = yield* table(
        Prompt,
        Array.from({ length: 150 }, (_, n) => ({ id: `p${n}`, prompt: sentence(n).slice(0, 8) }))
      )
      const sampling = { maximumTokens: 6 }
      const policy = tuned["checkpoint"]!
      const { completions } = yield* obtain(store, rollout, sampling, { policy, prompts }, [1])
      const scored = yield* obtain(
        store,
        score,
        {},
        { completions: completions!, rewardModel: reward["checkpoint"]!, reference: policy }
      )
      const update = { epochs: 2, minibatch: 50 }
      const first = yield* obtain(store, ppo, update, { policy, scored: scored["scored"]! }, [1, 4])
      // A second round begins with the optimizer's state, the KL coefficient and the scores of the first, and takes other prompts.
      const experience = Effect.fnUntraced(function* (from: Artifact, round: number) {
        const params = { ...sampling, prompts: 60, round }
        const { completions } = yield* obtain(store, rollout, params, { policy: from, prompts })
        const inputs = { completions: completions!, rewardModel: reward["checkpoint"]!, reference: policy }
        return (yield* obtain(store, score, {}, inputs))["scored"]!
      })
      const again = { policy: first["policy"]!, scored: yield* experience(first["policy"]!, 1) }
      yield* obtain(store, ppo, { ...update, minibatch: 20 }, again, [2])

      yield* obtain(store, dpo, { ...judge, learningRate: 1e-3 }, { policy, reference: policy, rankings }, [1, 5])
      const grouped = yield* obtain(
        store,
        rollout,
        { ...sampling, prompts: 20, answersPerPrompt: 3 },
        { policy, prompts }
      )
      const judged = { completions: grouped["completions"]!, rewardModel: reward["checkpoint"]!, reference: policy }
      const groups = (yield* obtain(store, score, {}, judged))["scored"]!
      for (const operator of [grpo, rloo]) yield* obtain(store, operator, update, { policy, scored: groups }, [1])

      const pretraining = split["train"]!
      const one = { critic: reward["checkpoint"]!, pretraining }
      const mixed = { epochs: 2, minibatch: 20, ptxWindows: 2, rewardScale: "running", averageDecay: 0.9 }
      const begin = { ...one, policy, scored: yield* experience(policy, 0) }
      const two = yield* obtain(store, ppoCriticPtx, mixed, begin, [1, 4])
      const next = {
        pretraining,
        policy: two["policy"]!,
        critic: two["critic"]!,
        scored: yield* experience(two["policy"]!, 1)
      }
      yield* obtain(store, ppoCriticPtx, mixed, next, [3])
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )
})
