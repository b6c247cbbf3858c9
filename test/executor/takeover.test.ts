/** Processes that are stopped, or die unseen, while they hold a stage: real ones, on one store. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Event } from "../../src/executor/event.ts"
import type { RunReport } from "../../src/executor/report.ts"
import { open } from "../../src/store/store.ts"
import { Project } from "./project.ts"

const settings = ["train.steps=250", "train.milliseconds=20"]

/** Milliseconds of silence after which a holder is dead. */
const SILENCE = 2500

const on = (host: string) => ({ PTMFLOW_TEST_SILENCE: `${SILENCE}`, PTMFLOW_TEST_HOST: host })

const ofTrain = (events: ReadonlyArray<Event>) =>
  events.filter((event) => "stage" in event && event.stage === "train" && event._tag !== "StagePlanned")

/** How many records there are of the key of the stage that was fought over. */
const recordsOf = (folder: string, key: string) =>
  Effect.runPromise(
    Effect.map(open(folder), ({ journal }) => journal.all("stage").filter((each) => each.key === key).length)
  )

/** What the stage gives, worked out by hand: a digest of what was before for each step. */
const expected = Array.from({ length: 250 }).reduce<ReadonlyArray<number>>(
  (state, _, step) => [
    ...createHash("sha256")
      .update(`${step} ${state.join(" ")}`)
      .digest()
  ],
  [120]
)

const trained = (folder: string, { outputs }: RunReport) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const store = yield* open(folder)
      const bytes = yield* store.blobs.bytes(outputs["trained"]!.parts["json"]!)
      return JSON.parse(Buffer.from(bytes).toString()) as ReadonlyArray<number>
    })
  )

describe("a holder whose heartbeat stops", () => {
  let project: Project
  beforeEach(() => {
    project = new Project()
  })
  afterEach(() => project.remove())

  /** Starts the second process when the first runs the stage, and sends `signal` to the first when the second waits. */
  const both = async (signal: NodeJS.Signals, hosts: readonly [string, string]) => {
    let second: ReturnType<Project["start"]> | undefined
    let step = 0
    const first = project.start("run", settings, {
      environment: on(hosts[0]),
      onEvent: (event, child) => {
        if (event._tag === "StageProgress") step = event.step!
        second ??=
          step === 0
            ? undefined
            : project.start("run", settings, {
                environment: on(hosts[1]),
                onEvent: (seen) => {
                  if (seen._tag === "StageWaiting") child.kill(signal)
                }
              })
      }
    })
    while (second === undefined) await new Promise((resolve) => setTimeout(resolve, 20))
    const two = await second.printed
    return { first, two, step: () => step }
  }

  /** The second waited for the first, took over, and went on from its last resume point. */
  const tookOver = (events: ReadonlyArray<Event>, about: object, step: number) => {
    const seen = ofTrain(events)
    const started = seen.findIndex(({ _tag }) => _tag === "StageStarted")
    const waits = seen.slice(0, started)
    assert.isAtLeast(waits.length, 1)
    for (const waiting of waits) assert.deepInclude(waiting, { _tag: "StageWaiting", ...about })
    assert.isAbove((waits[0] as { readonly seconds: number }).seconds, 0)
    const resumed = seen[started + 1]! as Extract<Event, { readonly _tag: "StageProgress" }>
    assert.isTrue(resumed.resumed)
    assert.isAtMost(step - resumed.step!, 6)
  }

  it("as it was stopped: the other waits, says for whom and how long, and takes over; woken up it publishes nothing", async () => {
    const { first, step, two } = await both("SIGSTOP", ["here", "here"])
    assert.strictEqual(two.code, 0, two.errors)
    tookOver(two.events, { pid: first.child.pid!, host: "here" }, step())

    first.child.kill("SIGCONT")
    const one = await first.printed
    assert.strictEqual(one.code, 0, one.errors)
    const seen = ofTrain(one.events)
    assert.strictEqual(seen.at(-1)!._tag, "StageReused", "what the other made")
    assert.isFalse(seen.some(({ _tag }) => _tag === "StageFinished"))
    const [key, outputs] = [two, one].map(({ last }) => {
      const { outputs, stages } = last as RunReport
      return [stages.find(({ stage }) => stage === "train")!.key, outputs] as const
    })
    assert.deepStrictEqual(key, outputs)
    assert.strictEqual(await recordsOf(project.store, key![0]), 1)
    assert.deepStrictEqual(fs.readdirSync(path.join(project.store, "leases")), [])
    assert.deepStrictEqual(fs.readdirSync(path.join(project.store, "resume")), [])
    assert.deepStrictEqual(await trained(project.store, two.last as RunReport), expected)
  })

  it("as it died on another host: nobody here can see that, and it is taken over after its silence", async () => {
    const { first, step, two } = await both("SIGKILL", ["far", "near"])
    assert.strictEqual((await first.printed).code, null)
    assert.strictEqual(two.code, 0, two.errors)
    tookOver(two.events, { pid: first.child.pid!, host: "far" }, step())
    assert.deepStrictEqual(await trained(project.store, two.last as RunReport), expected)
  })

  it("one that is only slow is waited for, and how far it is is told", async () => {
    const long = ["train.steps=250", "train.milliseconds=40"]
    let second: ReturnType<Project["start"]> | undefined
    const first = project.start("run", long, {
      environment: on("here"),
      onEvent: (event) => {
        if (event._tag !== "StageProgress" || second !== undefined) return
        second = project.start("run", long, { environment: on("here") })
      }
    })
    assert.strictEqual((await first.printed).code, 0)
    const two = await second!.printed
    assert.strictEqual(two.code, 0, two.errors)
    const waits = ofTrain(two.events).filter((event) => event._tag === "StageWaiting")
    assert.isAtLeast(waits.length, 2)
    assert.strictEqual(waits.at(-1)!.steps, 250)
    assert.isAbove(waits.at(-1)!.step!, 0)
    assert.isAbove(waits.at(-1)!.seconds, SILENCE / 1000)
    assert.strictEqual(ofTrain(two.events).at(-1)!._tag, "StageReused")
    assert.deepStrictEqual(fs.readdirSync(path.join(project.store, "progress")), [])
  })
})
