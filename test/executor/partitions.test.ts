/** Partitions of a data set (row 12 of the table of features). */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { concat } from "../../operators/concat.ts"
import { planLines } from "../../src/cli/render/plan.ts"
import { styleOf } from "../../src/cli/render/view.ts"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { CurrentDisk, type Disk, nodeDisk } from "../../src/store/disk.ts"
import { layer, Store } from "../../src/store/store.ts"
import * as Table from "../../src/table/index.ts"
import { newFolder } from "../store/folder.ts"
import { numberPort } from "./json-port.ts"
import { double, Line, lengthsOf, lines } from "./partitions.ts"
import { ran } from "./project.ts"
import { Length, total } from "./tables.ts"

/** Nothing here crashes: a disk that is not waited for. */
const quick: Disk = {
  ...nodeDisk,
  open: (file, how) => Effect.map(nodeDisk.open(file, how), (open) => ({ ...open, sync: Effect.void })),
  syncFolder: () => Effect.void
}

/** Every file of a folder is a partition: its lines. All lines together, the length of each, and their sum. */
const pipelineOf = (folder: string, files: ReadonlyArray<string>) =>
  Pipeline.make("partitions", {}, (p) => {
    const parts = p.partition(files, (file) => p.add(lines, { params: { file: path.join(folder, file) } }).lines)
    const { rows } = p.add(concat("all", Line, parts), { inputs: parts })
    const { lengths } = p.add(lengthsOf, { name: "lengths", inputs: { lines: rows } })
    return { lengths, total: p.add(total, { inputs: { lengths } }).n }
  })

/** The same, where each partition has a stage more, and a loop. */
const longer = (folder: string, files: ReadonlyArray<string>) =>
  Pipeline.make("longer", {}, (p) => {
    const parts = p.partition(files, (file) => {
      const read = p.add(lines, { params: { file: path.join(folder, file) } })
      const { lengths } = p.add(lengthsOf, { name: "lengths", inputs: read })
      const doubled = p.iterate(2, lengths, (lengths) => p.add(double, { inputs: { lengths } }).lengths)
      return { lengths, doubled }
    })
    const { rows } = p.add(concat("all", Length, parts.doubled), { inputs: parts.doubled })
    return { one: parts.lengths["a.txt"]!, total: p.add(total, { inputs: { lengths: rows } }).n }
  })

const setUp = Effect.fnUntraced(function* (count: number) {
  const root = yield* newFolder
  const corpus = path.join(root, "corpus")
  fs.mkdirSync(corpus)
  const write = (file: string, text: string) => fs.writeFileSync(path.join(corpus, file), text)
  const files = Array.from({ length: count }, (_, i) => `part ${String(i).padStart(4, "0")}.txt`)
  for (const [i, file] of files.entries()) write(file, `${i}\nline ${i * i}\n`)
  const within = <A, E, R>(effect: Effect.Effect<A, E, R>, store = "store") =>
    effect.pipe(Effect.provide(layer(path.join(root, store))), Effect.provideService(CurrentDisk, quick))
  return { corpus, files, within, write }
})

describe("partitions (row 12)", () => {
  it.live("one of a thousand changes: one runs, and the result is a full run's", () =>
    Effect.gen(function* () {
      const { corpus, files, within, write } = yield* setUp(1000)
      const start = (all: ReadonlyArray<string>) =>
        within(Effect.flatMap(Pipeline.build(pipelineOf(corpus, all)), (graph) => run(graph)))
      assert.strictEqual(ran(yield* start(files)).length, 1003)
      write(files[617]!, "another\nand more\n")
      const graph = yield* Pipeline.build(pipelineOf(corpus, files))
      const planned = yield* within(plan(graph))
      const due = planned.stages.filter(({ action }) => action !== "reuse")
      assert.deepStrictEqual(
        due.map(({ action, stage }) => `${stage} ${action}`),
        ["lines.part_0617.txt run", "all maybe", "lengths maybe", "total maybe"]
      )
      // A thousand partitions are one line.
      const shown = planLines(graph, planned, { columns: 100, style: styleOf(false) })
      assert.isBelow(shown.length, 12)
      assert.match(shown.join("\n"), /● lines +×1000 +1 of 1000/)

      const changed = yield* start(files)
      assert.deepStrictEqual(
        ran(changed),
        due.map(({ stage }) => stage)
      )
      const all = changed.stages.find(({ stage }) => stage === "all")!
      assert.deepStrictEqual(
        all.reasons.map(({ kind, place }) => [kind, place]),
        [["input", "part 0617.txt"]]
      )
      assert.deepStrictEqual(ran(yield* start(files.toReversed())), [], "how they are listed changes nothing")

      const texts = files.flatMap((_, i) => (i === 617 ? ["another", "and more"] : [`${i}`, `line ${i * i}`]))
      const { length, total } = yield* within(
        Effect.gen(function* () {
          const { source } = yield* Store
          const table = yield* Table.of(Length).decode(changed.outputs["lengths"]!, source)
          const rows = yield* Table.collect(table)
          return {
            length: rows.map(({ length }) => length),
            total: yield* numberPort.decode(changed.outputs["total"]!, source)
          }
        })
      )
      assert.deepStrictEqual(
        length,
        texts.map((text) => text.length)
      )
      assert.strictEqual(total, texts.join("").length)
    })
  )

  it.live("one is added, one goes, one changes to the same result", () =>
    Effect.gen(function* () {
      const { corpus, files, within, write } = yield* setUp(5)
      write("a.txt", "a\n")
      const start = (all: ReadonlyArray<string>, store = "store") =>
        within(
          Effect.flatMap(Pipeline.build(longer(corpus, all)), (graph) => run(graph)),
          store
        )
      // Of what is done to lengths, that of those alike is done once.
      assert.strictEqual(ran(yield* start([...files, "a.txt"])).length, 6 + 6 + 3 * 2 + 2)
      write(files[3]!, "9\nline 3\n")
      assert.deepStrictEqual(ran(yield* start([...files, "a.txt"])), ["lines.part_0003.txt", "lengths.part_0003.txt"])
      write("new.txt", "new\n")
      const moved = yield* start([...files.slice(1), "a.txt", "new.txt"])
      const added = ["lines.new.txt", "lengths.new.txt", "double.new.txt.1", "double.new.txt.2"]
      assert.deepStrictEqual(ran(moved), [...added, "all", "total"])
      const reasons = moved.stages.find(({ stage }) => stage === "all")!.reasons.map(({ message }) => message)
      assert.deepStrictEqual(reasons.toSorted(), ["input new.txt was added", "input part 0000.txt was removed"])
      const fresh = yield* start([...files.slice(1), "a.txt", "new.txt"], "fresh")
      assert.deepStrictEqual(moved.outputs, fresh.outputs)
    })
  )

  it("names that give the same stage names, no name, and no partition are refused", () => {
    const message = (files: ReadonlyArray<string>) => {
      const error = Effect.runSync(Effect.flip(Pipeline.build(pipelineOf("corpus", files))))
      return `${error.place} ${error.message}`
    }
    assert.match(message(["a/b", "a b"]), /partition a b.*would be named as those of a\/b/)
    assert.match(message([""]), /name is empty/)
    assert.match(message([]), /there are no partitions/)
  })
})
