/** Runs that go on without a terminal (row 20 of the table of features). */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterEach, beforeEach, expect, test } from "vitest"
import { counting, Folder } from "./command-line.ts"

let folder: Folder
beforeEach(() => {
  folder = new Folder()
})
afterEach(async () => {
  await folder.start(["stop"])
  folder.remove()
})

const slow = ["--set", "count.steps=150", "--set", "count.milliseconds=40"]

/** Starts a run in the background; gives its name and process. */
const detach = async (...flags: ReadonlyArray<string>) => {
  const { code, errors, out } = await folder.start(["run", counting, "--detach", "--json", ...flags])
  expect(errors).toBe("")
  expect(code).toBe(0)
  return JSON.parse(out) as { readonly detached: string; readonly pid: number }
}

test("a run goes on when its terminal and those that watched it are gone; whoever attaches sees all of it", async () => {
  const { detached, pid } = await detach(...slow)
  if (process.platform === "linux") {
    const [, , , , group, session, terminal] = fs
      .readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/\(.*\)/, "()")
      .split(" ")
    // A session of its own, without a terminal: what ends that of the person does not reach it.
    expect([group, session, terminal]).toEqual([`${pid}`, `${pid}`, "0"])
  }
  const watcher = await folder.start(["attach"], {
    onLine: (line, child) => {
      if (line.includes("started count")) child.kill("SIGKILL")
    }
  })
  expect(watcher.signal).toBe("SIGKILL")
  const seen = await folder.start(["attach", detached.slice(0, 12)])
  expect(seen).toMatchObject({ code: 0, errors: "" })
  for (const line of ["counting: 9 stages", "started start", "finished count", "counting: succeeded"]) {
    expect(seen.out).toContain(line)
  }
  expect(seen.out).toMatch(/last +json/)
  const again = await folder.start(["run", counting, ...slow])
  expect(again.out).toContain("nothing to do")
  const events = await folder.start(["attach", "--json"])
  const all = events.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { _tag: string; time: number })
  expect(all[0]!._tag).toBe("RunStarted")
  expect(all.at(-1)!._tag).toBe("RunFinished")
  expect(all.map(({ time }) => time)).toEqual(all.map(({ time }) => time).toSorted((a, b) => a - b))
})

test("one that is killed is told of, and the next goes on from its last resume point", async () => {
  const { pid } = await detach(...slow)
  let step = 0
  const watched = folder.start(["attach", "--json"], {
    onLine: (line) => {
      const event = JSON.parse(line) as { _tag: string; stage: string; step: number }
      if (event._tag !== "StageProgress" || event.stage !== "count") return
      step = event.step
      if (step === 40) process.kill(pid, "SIGKILL")
    }
  })
  const { code, errors } = await watched
  expect(errors).toMatch(/process \d+ is gone, and the run did not come to its end/)
  expect(code).toBe(1)
  const next = await folder.start(["run", counting, ...slow])
  const [, resumed] = /resumed count from step (\d+)/.exec(next.out) ?? []
  expect(step - Number(resumed)).toBeLessThan(11)
  expect(next.out).not.toContain("started start")
  expect(next.code).toBe(0)
})

test("stop ends it, and keeps what there is", async () => {
  const { detached } = await detach(...slow)
  const stopped = await folder.start(["stop", "--json"])
  expect(JSON.parse(stopped.out)).toEqual({ run: detached, stopped: true })
  const seen = await folder.start(["attach"])
  expect(seen.out).toContain("interrupted")
  expect(seen.code).toBe(130)
  expect((await folder.start(["stop"])).errors).toContain("is not running any more")
})

test("what cannot be run is refused at once, and leaves nothing", async () => {
  const refused = await folder.start(["run", counting, "--detach", "--set", "count.step=1"])
  expect(refused.errors).toContain("there is no parameter count.step")
  const failing = await folder.start(["run", counting, "--detach", "--device", "cpu", "--store", counting])
  expect(failing.code).toBe(1)
  expect(fs.existsSync(path.join(folder.root, ".ptmflow", "detached"))).toBe(false)
  expect((await folder.start(["attach"])).errors).toContain("no run was detached in .ptmflow")
})
