/** A disk that fills up: the n-th file operation and all after it fail, for every third n in turn. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import { run } from "../../src/executor/run.ts"
import { stageHeads, stageRecord } from "../../src/lineage/records.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { constant, log, sum } from "./arithmetic.ts"
import { ran } from "./project.ts"

/** Operations until the disk is full; reading, and taking away, is always possible. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY }))

vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>()
  const spend = () => {
    if (disk.left-- <= 0) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })
  }
  const spending =
    <A extends ReadonlyArray<unknown>, B>(operation: (...args: A) => Promise<B>) =>
    async (...args: A): Promise<B> => {
      spend()
      return await operation(...args)
    }
  return {
    ...real,
    mkdir: spending(real.mkdir as (...args: ReadonlyArray<unknown>) => Promise<unknown>),
    rename: spending(real.rename as (...args: ReadonlyArray<unknown>) => Promise<unknown>),
    writeFile: spending(real.writeFile as (...args: ReadonlyArray<unknown>) => Promise<unknown>),
    open: async (...args: Parameters<typeof real.open>) => {
      if (args[1] !== "r") spend()
      const handle = await real.open(...args)
      for (const name of ["write", "writeFile", "sync"] as const) {
        const operation = handle[name].bind(handle) as (...args: ReadonlyArray<unknown>) => Promise<unknown>
        Object.assign(handle, {
          [name]: async (...given: ReadonlyArray<unknown>) => {
            // A disk that fills up in the middle of a write leaves half of it.
            if (name === "write" && disk.left === 0)
              await operation(given[0], given[1], Math.floor(Number(given[2]) / 2))
            spend()
            return await operation(...given)
          }
        })
      }
      return handle
    }
  }
})

const pipeline = Pipeline.make("small", {}, (p) => {
  const a = p.add(constant, { params: { value: 20 } })
  const b = p.add(sum, { inputs: { left: a.n, right: a.n }, params: { add: 2 } })
  return { n: b.n }
})

const start = (folder: string) =>
  Effect.gen(function* () {
    const store = yield* open(folder)
    const report = yield* Effect.provideService(
      Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph)),
      Store,
      store
    )
    const bytes = yield* store.source.bytes(report.outputs["n"]!.parts["json"]!)
    return { report, value: JSON.parse(new TextDecoder().decode(bytes)) as number }
  })

/** What is recorded must be there, whole. */
const check = (folder: string) =>
  Effect.gen(function* () {
    const store = yield* open(folder)
    for (const { key } of stageHeads(store.journal)) {
      for (const { parts } of Object.values(stageRecord(store.journal, key)!.outputs)) {
        for (const blob of Object.values(parts)) yield* store.blobs.bytes(blob)
      }
    }
  })

describe("a disk that fills up", () => {
  beforeEach(() => {
    disk.left = Number.POSITIVE_INFINITY
  })

  it.live("at any file operation: a typed error, nothing half-written, and the next run goes on", () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-full-"))
      let failed = 0
      let n = 0
      for (; ; n += 3) {
        const store = path.join(folder, `${n}`)
        disk.left = n
        log.length = 0
        const result = yield* Effect.result(start(store))
        const full = disk.left < 0
        disk.left = Number.POSITIVE_INFINITY
        if (result._tag === "Failure") {
          failed++
          assert.include(["StoreError", "RunError"], result.failure._tag)
          assert.include(result.failure.message, "the disk is full")
        }
        yield* check(store)
        const { report, value } = yield* start(store)
        assert.strictEqual(value, 42)
        assert.deepStrictEqual(ran((yield* start(store)).report), [])
        assert.isAtLeast(log.length, ran(report).length)
        assert.deepStrictEqual(
          fs.existsSync(path.join(store, "temporary")) ? fs.readdirSync(path.join(store, "temporary")) : [],
          []
        )
        if (!full) break
      }
      fs.rmSync(folder, { recursive: true })
      assert.isAbove(n, 30)
      assert.isAbove(failed, n / 6)
    })
  )
})
