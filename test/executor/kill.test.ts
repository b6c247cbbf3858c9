/**
 * Processes that are killed at random instants: from outside at any time, and by themselves at a drawn change of the disk, before it, in the
 * middle of a write, or after it. `PTMFLOW_KILLS=1000 npx vitest run test/executor/kill.test.ts` for more than the 200 of every test run;
 * `PTMFLOW_SEED=<n>` draws others.
 */
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { stageHeads, stageRecord } from "../../src/lineage/records.ts"
import { open } from "../../src/store/store.ts"
import { type Draws, drawsOf } from "../store/simulation/random.ts"
import { Project, ran } from "./project.ts"

const kills = Number(process.env["PTMFLOW_KILLS"] ?? 200)
const seed = Number(process.env["PTMFLOW_SEED"] ?? 1)

/** What the pipeline of `project/` gives, worked out by hand. */
const expected = (add: number) => {
  const scores = [5, 6, 5].map((vowels) => vowels * 10)
  let state: ReadonlyArray<number> = [Math.max(...scores.map((score) => 2 * score + add))]
  for (let step = 0; step < 20; step++) {
    state = [
      ...createHash("sha256")
        .update(`${step} ${state.join(" ")}`)
        .digest()
    ]
  }
  const wide = [1, 2, 3, 4, 5, 6].reduce((numbers, i) => numbers.map((each) => 2 * each + i), scores)
  return { trained: state, wide }
}

/** Every record's blobs are there and have their digests. Gives the stages that are recorded, each with the digests of its outputs. */
const recorded = (folder: string) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const store = yield* open(folder)
      const outputs = new Map<string, string>()
      for (const { key } of stageHeads(store.journal)) {
        const record = stageRecord(store.journal, key)!
        for (const { parts } of Object.values(record.outputs)) {
          for (const blob of Object.values(parts)) yield* store.blobs.bytes(blob)
        }
        outputs.set(key, JSON.stringify(record.outputs))
      }
      return outputs
    })
  )

/** What an output of a run holds. */
const contentOf = (folder: string, digest: { readonly digest: string; readonly bytes: number }) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const store = yield* open(folder)
      return JSON.parse(Buffer.from(yield* store.blobs.bytes(digest)).toString()) as ReadonlyArray<number>
    })
  )

/** Starts a run and kills it; false if it came to its end before. */
const killed = async (project: Project, settings: ReadonlyArray<string>, draws: Draws): Promise<boolean> => {
  const itself = draws.chance(0.6)
  const when = ["before", "within", "after"][draws.between(0, 3)]!
  const at = draws.chance(0.3) ? draws.between(0, 30) : draws.between(0, 150)
  const delay = draws.next() * 150
  const fromTheStart = draws.chance(0.2)
  const { child, printed } = project.start("run", settings, {
    ...(itself ? { environment: { PTMFLOW_TEST_KILL: `${at} ${when}` } } : {}),
    onEvent: (event, process) => {
      if (!itself && event._tag === "RunStarted") setTimeout(() => process.kill("SIGKILL"), delay)
    }
  })
  if (!itself && fromTheStart) setTimeout(() => child.kill("SIGKILL"), 2 * delay)
  const { code, errors } = await printed
  assert.include([null, 0], code, errors)
  return code === null
}

/** Kills `count` processes on one store, four on each setting, and after these lets one come to its end. */
const campaign = async (lane: number, count: number) => {
  const draws = drawsOf(seed * 100 + lane)
  const project = new Project()
  let done = 0
  let reused = 0
  let resumed = 0
  try {
    for (let add = lane; done < count; add += 2) {
      const settings = [`add=${add}`]
      let before = await recorded(project.store)
      for (let n = 0; n < 4 && done < count; n++) {
        if (await killed(project, settings, draws)) done++
        const after = await recorded(project.store)
        for (const [key, outputs] of before) assert.strictEqual(after.get(key), outputs, "a record was lost")
        before = after
      }
      const report = await project.run(settings)
      for (const { key, status } of report.stages) {
        assert.strictEqual(status, before.has(key) ? "reused" : "ran", "what is recorded, and nothing else, is reused")
        if (status === "reused") reused++
      }
      resumed += report.stages.filter(({ resumedFrom }) => resumedFrom !== undefined).length
      for (const [name, value] of Object.entries(expected(add))) {
        assert.deepStrictEqual(await contentOf(project.store, report.outputs[name]!.parts["json"]!), value)
      }
    }
    const settings = [`add=${lane}`]
    const again = await project.run(settings)
    const fresh = await project.run(settings, { store: `${project.store}-fresh` })
    assert.deepStrictEqual(ran(again), [])
    assert.deepStrictEqual(again.outputs, fresh.outputs)
    return { kills: done, reused, resumed }
  } catch (cause) {
    throw new Error(`seed ${seed}, lane ${lane}, kill ${done}: ${(cause as Error).message}`, { cause })
  } finally {
    project.remove()
  }
}

describe("kill -9 at random instants (rows 16, 18, 19)", () => {
  it("no wrong hit, no half artifact, and the results of a run that nobody disturbed", async () => {
    const lanes = await Promise.all([campaign(0, Math.ceil(kills / 2)), campaign(1, Math.floor(kills / 2))])
    const total = lanes.reduce((sum, lane) => sum + lane.kills, 0)
    console.log(`seed ${seed}: ${total} kills; ${JSON.stringify(lanes)}`)
    assert.isAtLeast(total, kills)
    for (const lane of lanes) assert.isTrue(kills < 50 || (lane.reused > 0 && lane.resumed > 0))
  }, 3_600_000)
})
