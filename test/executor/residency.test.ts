/** Rounds of rollout, score and PPO through the executor: what is written to the device, and the same checkpoints as without. */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { characterTokenizer } from "../../operators/character-tokenizer.ts"
import { readDocuments } from "../../operators/documents.ts"
import { ppo } from "../../operators/ppo.ts"
import { rollout } from "../../operators/rollout.ts"
import { score } from "../../operators/score.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Device } from "../../src/device/device.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer } from "../../src/store/store.ts"
import { temporaryFiles } from "../operators/files.ts"
import { begin, prompts } from "./closed-loop.ts"

const rounds = 3

const loop = (file: string) =>
  Pipeline.make("closed-loop", {}, (p) => {
    const { documents } = p.add(readDocuments, { params: { paths: [file] } })
    const { tokenizer } = p.add(characterTokenizer, { inputs: { documents } })
    const start = p.add(begin, { inputs: { tokenizer }, params: { seed: 1 } })
    const asked = p.add(prompts)
    const policy = p.iterate(rounds, start.policy, (policy, round) => {
      const { completions } = p.add(rollout, {
        inputs: { policy, prompts: asked.prompts },
        params: { prompts: 8, round, maximumTokens: 6 }
      })
      const { scored } = p.add(score, {
        inputs: { completions, rewardModel: start.rewardModel, reference: start.policy }
      })
      return p.add(ppo, { inputs: { policy, scored }, params: { minibatch: 4, epochs: 1 } }).policy
    })
    return { policy }
  })

/** Runs the loop in a new store on a device with this much memory, and gives the checkpoint and what each stage wrote that is no batch. */
const written = Effect.fnUntraced(function* (memory: number | undefined) {
  const folder = yield* temporaryFiles({ "text.txt": "whale storm Ahab, whale Ahab. ".repeat(20) })
  const device = yield* Device
  const writes: Array<string> = []
  let stage = ""
  const shape = {
    ...device,
    ...(memory === undefined ? {} : { memory }),
    write: (...args: Parameters<typeof device.write>) => {
      if (args[2].byteLength > 20_000) writes.push(stage)
      return device.write(...args)
    }
  }
  const graph = yield* Pipeline.build(loop(path.join(folder, "text.txt")))
  const report = yield* run(graph, {
    concurrency: 1,
    onEvent: (event) =>
      Effect.sync(() => {
        if (event._tag === "StageStarted") stage = event.stage
      })
  }).pipe(Effect.provideService(Device, shape), Effect.provide(layer(path.join(folder, "store"))))
  return { policy: report.outputs["policy"]!.digest, writes }
})

describe("models between stages", () => {
  it.live("a closed loop writes policy, reference and reward model once", () =>
    Effect.gen(function* () {
      const kept = yield* written(undefined)
      // The policy, which is its own reference; the reward model; and what PPO made of the policy: a model with a value head.
      assert.deepStrictEqual(kept.writes, ["rollout.1", "score.1", "ppo.1"])
      // A device without memory to spare keeps nothing: every stage writes its models, and PPO its two moments.
      const plain = yield* written(0)
      const each = (round: number) => [
        `rollout.${round}`,
        ...[1, 2].map(() => `score.${round}`),
        ...Array.from({ length: round === 1 ? 1 : 3 }, () => `ppo.${round}`)
      ]
      assert.deepStrictEqual(plain.writes, [1, 2, 3].flatMap(each))
      assert.strictEqual(kept.policy, plain.policy)
    }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 1 })))
  )
})
