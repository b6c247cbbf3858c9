import * as fs from "node:fs"
import * as path from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { stageHeads, stageRecord } from "../../src/lineage/records.ts"
import { open } from "../../src/store/store.ts"
import { Project, ran } from "./project.ts"

/** Checks every record of a store: all blobs are there and have their digests. Gives how many stage records there are. */
const check = (folder: string) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const store = yield* open(folder)
      const heads = stageHeads(store.journal)
      for (const { key } of heads) {
        for (const { parts } of Object.values(stageRecord(store.journal, key)!.outputs)) {
          for (const blob of Object.values(parts)) yield* store.blobs.bytes(blob)
        }
      }
      return heads.length
    })
  )

describe("kill -9", () => {
  let project: Project
  beforeEach(() => {
    project = new Project()
  })
  afterEach(() => project.remove())

  it("in a long stage: the next run goes on from the resume point, to the same bytes (rows 16, 17, 18)", async () => {
    const settings = ["train.steps=60", "train.milliseconds=2"]
    const killed = project.start("run", settings, {
      onEvent: (event, child) => {
        if (event._tag === "StageProgress" && event.step === 33) child.kill("SIGKILL")
      }
    })
    const { code, events } = await killed.printed
    assert.isNull(code)
    assert.isFalse(events.some(({ _tag }) => _tag === "RunFinished"))

    const resumed = await project.run(settings)
    const train = resumed.stages.find(({ stage }) => stage === "train")!
    assert.deepStrictEqual(ran(resumed), ["train"])
    assert.isAtLeast(train.resumedFrom ?? 0, 30)
    assert.isBelow(train.resumedFrom ?? 0, 60)

    const whole = await project.run(settings, { store: path.join(project.root, "another") })
    assert.isUndefined(whole.stages.find(({ stage }) => stage === "train")!.resumedFrom)
    assert.deepStrictEqual(resumed.outputs, whole.outputs)
    assert.deepStrictEqual(fs.readdirSync(path.join(project.store, "resume")), [])
  })

  it("a second process waits for the stage that the first runs, and reuses it", async () => {
    const settings = ["train.steps=40", "train.milliseconds=5"]
    let second: ReturnType<Project["start"]> | undefined
    const first = project.start("run", settings, {
      onEvent: (event, child) => {
        if (event._tag !== "StageStarted" || event.stage !== "train") return
        child.kill("SIGSTOP")
        second = project.start("run", settings, {
          onEvent: (seen) => {
            if (seen._tag === "StageWaiting") child.kill("SIGCONT")
          }
        })
      }
    })
    const one = await first.printed
    const two = await second!.printed
    assert.deepStrictEqual([one.code, two.code], [0, 0], one.errors + two.errors)
    const waiting = two.events.find((event) => event._tag === "StageWaiting")
    assert.deepInclude(waiting!, { pid: first.child.pid! })
    const started = [...one.events, ...two.events].flatMap((event) =>
      event._tag === "StageStarted" ? [event.stage] : []
    )
    assert.deepStrictEqual(
      started.filter((stage) => stage === "train"),
      ["train"]
    )
    assert.strictEqual(started.length, new Set(started).size)
    assert.isTrue(two.events.some((event) => event._tag === "StageReused" && event.stage === "train"))
    assert.strictEqual(await check(project.store), 10)
  })

  it("two processes that start at once run each stage once between them (row 15)", async () => {
    const settings = ["train.steps=20", "train.milliseconds=1"]
    const all = await Promise.all([1, 2].map(() => project.start("run", settings).printed))
    assert.deepStrictEqual(
      all.map(({ code }) => code),
      [0, 0],
      all.map(({ errors }) => errors).join("")
    )
    const started = all.flatMap(({ events }) =>
      events.flatMap((event) => (event._tag === "StageStarted" ? [event.stage] : []))
    )
    assert.strictEqual(started.length, new Set(started).size)
    assert.strictEqual(await check(project.store), 10)
  })

  it("the holder of a lease dies: the one that waits takes over at once", async () => {
    const settings = ["train.steps=60", "train.milliseconds=10"]
    let second: ReturnType<Project["start"]> | undefined
    const first = project.start("run", settings, {
      onEvent: (event, child) => {
        if (event._tag !== "StageProgress" || event.step !== 22) return
        child.kill("SIGSTOP")
        second = project.start("run", settings, {
          onEvent: (seen) => {
            if (seen._tag === "StageWaiting") child.kill("SIGKILL")
          }
        })
      }
    })
    await first.printed
    const { code, events } = await second!.printed
    assert.strictEqual(code, 0)
    assert.isTrue(events.some((event) => event._tag === "StageStarted" && event.stage === "train"))
    assert.isTrue(events.some((event) => event._tag === "StageProgress" && event.resumed === true))
  })

  it("Ctrl-C leaves a state that the next run goes on from", async () => {
    const settings = ["train.steps=60", "train.milliseconds=2"]
    const { printed } = project.start("run", settings, {
      onEvent: (event, child) => {
        if (event._tag === "StageProgress" && event.step === 23) child.kill("SIGINT")
      }
    })
    const { events } = await printed
    assert.deepInclude(events.at(-1), { _tag: "RunFinished", status: "interrupted" })
    const resumed = await project.run(settings)
    assert.isAtLeast(resumed.stages.find(({ stage }) => stage === "train")!.resumedFrom ?? 0, 20)
  })
})
