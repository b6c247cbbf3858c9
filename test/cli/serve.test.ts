/** The page from the command line: a run of one process is looked at from another. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { PlanView, Refusal, Run, RunArtifacts, Verifications, Verifying } from "../../src/page/answers.ts"
import { counting, Folder } from "./command-line.ts"

let folder: Folder
beforeAll(() => {
  folder = new Folder()
})
afterAll(() => folder.remove())

/** Starts the server; `stop` ends it as Ctrl-C does, and gives how it ended. */
const serve = async (...flags: ReadonlyArray<string>) => {
  const started = Promise.withResolvers<{ address: string; token: string | null; kill: () => void }>()
  const ended = folder.start(["serve", "--port", "0", "--json", ...flags], {
    onLine: (line, child) => started.resolve({ ...JSON.parse(line), kill: () => child.kill("SIGINT") })
  })
  ended.then(({ errors }) => started.reject(new Error(errors)))
  const { address, kill, token } = await started.promise
  const stop = () => {
    kill()
    return ended
  }
  return { address, token, stop }
}

test("a run shows while it goes on, and what is left of it when it is over", async () => {
  const page = await serve()
  expect(page.token).toBeNull()
  const during: Array<Promise<Run>> = []
  const ask = async () => (await (await fetch(`${page.address}api/runs/newest`)).json()) as Run
  const slow = ["--set", "count.steps=12", "--set", "count.milliseconds=100"]
  const run = await folder.start(["run", counting, "--json", ...slow], {
    onLine: (line) => {
      const event = JSON.parse(line) as { _tag: string; stage?: string; step?: number }
      // The log is at most a quarter of a second behind.
      if (event._tag === "StageProgress" && event.stage === "count" && event.step === 10) during.push(ask())
    }
  })
  expect(run.code).toBe(0)
  const then = (await Promise.all(during))[0]!
  expect(then.state).toBe("running")
  expect(then.detail).toHaveLength(then.stages)
  const count = then.detail.find(({ stage }) => stage === "count")!
  expect(count.state).toBe("running")
  expect(count.steps).toBe(12)
  expect(count.step).toBeGreaterThan(3)
  expect(then.detail.find(({ stage }) => stage === "again.3")).toMatchObject({ state: "pending" })

  const after = await ask()
  expect(after.state).toBe("succeeded")
  expect(new Set(after.detail.map(({ state }) => state))).toEqual(new Set(["ran"]))
  const logs = () => fs.readdirSync(path.join(folder.root, ".ptmflow", "runs"))
  expect(logs()).toEqual([after.run])
  expect((await folder.start(["run", counting, ...slow])).code).toBe(0)
  expect(logs(), "a run in which nothing is to be done has no log").toEqual([after.run])
  expect((await page.stop()).code).toBe(130)
})

test("another host has a token, and a port that is taken is an error that says so", async () => {
  const page = await serve("--host", "0.0.0.0")
  const local = page.address.replace("0.0.0.0", "127.0.0.1")
  expect((await fetch(`${local}api/runs`)).status).toBe(401)
  const headers = { authorization: `Bearer ${page.token}` }
  expect((await fetch(`${local}api/runs`, { headers })).status).toBe(200)
  const { port } = new URL(page.address)
  const second = await folder.start(["serve", "--host", "0.0.0.0", "--port", port])
  expect(second.errors).toMatch(/cannot be served at 0\.0\.0\.0:\d+.*EADDRINUSE[\s\S]*--port/)
  expect(second.code).toBe(1)
  expect((await page.stop()).code).toBe(130)
})

test("the plan of a pipeline is there before it ran, and follows its file and its runs", async () => {
  const other = new Folder()
  const write = (text: string) => other.write("mine.ts", text)
  write(`export { default } from ${JSON.stringify(counting)}`)
  const flags = ["--store", path.join(other.root, "store"), "--set", "value=3"]
  const page = await serve(path.join(other.root, "mine.ts"), ...flags)
  const until = async (wanted: (plan: PlanView) => boolean): Promise<PlanView> => {
    for (;;) {
      const plan = (await (await fetch(`${page.address}api/plan`)).json()) as PlanView
      if (plan.planned !== null && !plan.busy && wanted(plan)) return plan
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  const states = (plan: PlanView) => new Set(plan.stages.map(({ state }) => state))
  const first = await until(({ stages }) => stages.length > 0)
  expect(first).toMatchObject({ pipeline: "counting", error: null, run: null })
  expect(states(first)).toEqual(new Set(["due"]))
  const count = first.stages.find(({ stage }) => stage === "count")!
  expect(count.inputs).toEqual({ from: { stage: "start", port: "number" } })
  expect(count.reasons).toContain("it never ran")

  expect((await folder.start(["run", path.join(other.root, "mine.ts"), ...flags])).code).toBe(0)
  await until((plan) => states(plan).size === 1 && states(plan).has("reusable"))
  write("export default 1")
  const broken = await until(({ error }) => error !== null)
  expect(broken.error!.message).toMatch(/is a value of type number, not a pipeline/)
  expect(broken.stages.length).toBe(first.stages.length)
  write(`export { default } from ${JSON.stringify(counting)}`)
  await until(({ error }) => error === null)
  // Results that are gone are seen too.
  fs.rmSync(path.join(other.root, "store", "objects"), { recursive: true })
  await until((plan) => states(plan).has("due"))
  expect((await page.stop()).code).toBe(130)
  other.remove()
}, 60_000)

test("an artifact is verified in a process of its own, one at a time, followed, and stopped", async () => {
  const store = ["--store", "verified"]
  const slow = ["--set", "count.steps=4", "--set", "count.milliseconds=400"]
  expect((await folder.start(["run", counting, ...slow, ...store])).code).toBe(0)
  const page = await serve(...store)
  const get = async <A>(at: string) => (await (await fetch(`${page.address}api/${at}`)).json()) as A
  const post = async (at: string, body: unknown) => {
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }
    const response = await fetch(`${page.address}api/${at}`, init)
    return { status: response.status, body: (await response.json()) as Verifying & Refusal }
  }
  const until = async (wanted: (now: Verifying) => boolean): Promise<Verifying> => {
    for (;;) {
      const now = await get<Verifying>("verify")
      if (wanted(now)) return now
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const { artifacts } = await get<RunArtifacts>("runs/newest/artifacts?match=count.")
  const artifact = `${artifacts[0]!.key}:${artifacts[0]!.port}`
  expect((await get<Verifications>(`verified/${artifact}`)).total).toBe(0)

  const begun = await post("verify", { artifact, depth: null, sample: null })
  expect(begun.status).toBe(200)
  expect(begun.body).toMatchObject({ state: "running", found: [], of: { name: "count.number" } })
  const second = await post("verify", { artifact, depth: 1, sample: null })
  expect([second.status, second.body._tag]).toEqual([409, "Refusal"])
  expect(await until(({ step }) => step !== null)).toMatchObject({ stage: "count", steps: 4 })
  const done = await until(({ state }) => state !== "running")
  expect(done.found.map(({ stage, verdict }) => [stage, verdict])).toEqual([
    ["start", "proven"],
    ["count", "proven"]
  ])
  const { command, total, verified } = await get<Verifications>(`verified/${artifact}`)
  expect(total).toBe(1)
  expect(verified[0]).toMatchObject({ verdict: "proven", stage: "count", sampled: null })
  expect(verified[0]!.time).toBeGreaterThanOrEqual(done.began!)
  expect(command).toBe(`ptmflow verify ${artifacts[0]!.digest.slice(0, 12)} --store verified`)

  await post("verify", { artifact, depth: 1, sample: 0.5 })
  await until(({ step }) => step !== null)
  expect((await post("verify/stop", {})).status).toBe(200)
  expect((await until(({ state }) => state !== "running")).state).toBe("stopped")
  const temporary = path.join(folder.root, "verified", "temporary")
  while (fs.readdirSync(temporary).length > 0) await new Promise((resolve) => setTimeout(resolve, 20))
  expect((await get<Verifications>(`verified/${artifact}`)).total).toBe(1)

  // What cannot be verified is told in the words of the command.
  for (const body of [{ artifact, depth: 0, sample: null }, { artifact, depth: 1, sample: 1.5 }, { artifact }]) {
    expect((await post("verify", body)).status).toBe(400)
  }
  expect((await post("verify", { artifact: "nothing", depth: 1, sample: null })).status).toBe(404)
  expect((await fetch(`${page.address}api/verify`, { method: "POST", body: "{}" })).status).toBe(415)
  expect((await page.stop()).code).toBe(130)
}, 60_000)

test("settings without a pipeline are refused", async () => {
  const { code, errors } = await folder.start(["serve", "--port", "0", "--set", "a=1"])
  expect(code).toBe(1)
  expect(errors).toMatch(/none was named/)
})
