import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { run } from "../../src/executor/run.ts"
import * as RunLog from "../../src/executor/run-log.ts"
import { type LogEntry, logFolder, logLine, readLog } from "../../src/lineage/run-log.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { pipelineOf } from "./lines.ts"

const started = (stage: string): LogEntry => ({ _tag: "Started", stage, time: 1, key: "k", reasons: [] })

describe("the log of a run", () => {
  it.effect("is read on from where it was read to; what a crash tore is no entry and takes no other with it", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      fs.mkdirSync(logFolder(folder))
      const file = path.join(logFolder(folder), "r1")
      const line = (stage: string) => `\n${logLine("r1", started(stage))}`
      fs.writeFileSync(file, line("a") + line("bé"))
      const first = yield* readLog(folder, "r1")
      assert.deepStrictEqual(first.entries, [started("a"), started("bé")])
      // Every beginning of the next line: nothing of it is there before its end is.
      const next = line("c")
      for (let length = 0; length < Buffer.byteLength(next); length++) {
        fs.writeFileSync(
          file,
          Buffer.concat([Buffer.from(line("a") + line("bé")), Buffer.from(next).subarray(0, length)])
        )
        const { entries } = yield* readLog(folder, "r1", first.next)
        assert.deepStrictEqual(entries, [])
      }
      fs.writeFileSync(file, line("a") + line("bé") + next.slice(0, 20) + line("d"))
      const rest = yield* readLog(folder, "r1", first.next)
      assert.deepStrictEqual(rest.entries, [started("d")])
      assert.strictEqual(rest.next, fs.statSync(file).size)
    })
  )

  it.effect("of a run that is none, or is named as a path, is empty", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      fs.writeFileSync(path.join(folder, "secret"), logLine("x", started("a")))
      for (const name of ["no-such-run", "../secret", "/etc/passwd", ""]) {
        assert.deepStrictEqual((yield* readLog(folder, name)).entries, [])
      }
    })
  )

  it.live(
    "has the graph, and what happens to each stage, in order; of a run that cannot write one, nothing fails",
    () =>
      Effect.gen(function* () {
        const folder = yield* newFolder
        fs.writeFileSync(path.join(folder, "corpus.txt"), "ten bytes!")
        const store = yield* open(path.join(folder, "store"))
        const graph = yield* Pipeline.build(pipelineOf(path.join(folder, "corpus.txt")), [])
        const logged = Effect.fnUntraced(function* () {
          const scope = yield* Scope.make()
          const onEvent = yield* RunLog.make(store.folder, graph).pipe(Effect.provideService(Scope.Scope, scope))
          const report = yield* Effect.provideService(run(graph, { onEvent }), Store, store)
          yield* Scope.close(scope, Exit.void)
          return report
        })
        const report = yield* logged()
        const { entries } = yield* readLog(store.folder, report.run)
        const [first] = entries
        assert.strictEqual(first?._tag, "Graph")
        if (first?._tag !== "Graph") return
        assert.deepStrictEqual(
          first.stages.map(({ inputs, stage }) => [stage, inputs]),
          graph.stages.map(({ inputs, name }) => [name, inputs])
        )
        for (const { name } of graph.stages) {
          const tags = entries.flatMap((entry) => ("stage" in entry && entry.stage === name ? [entry._tag] : []))
          assert.deepStrictEqual([tags[0], tags.at(-1)], ["Started", "Finished"], name)
        }
        assert.strictEqual(entries.at(-1)?._tag, "Ended")
        // A file is where the folder of logs should be.
        fs.rmSync(logFolder(store.folder), { recursive: true })
        fs.writeFileSync(logFolder(store.folder), "")
        assert.strictEqual((yield* logged()).stages.length, graph.stages.length)
      })
  )
})
