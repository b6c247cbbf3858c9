import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { test } from "node:test"
import { open } from "ptmflow/results"
import { versesOf } from "../operators/verses.ts"

test("verses are what lies between empty lines, short ones left out", () => {
  assert.deepEqual(versesOf("one\ntwo\n\nthree\n \nfour and five\n", 6), ["one\ntwo", "four and five"])
})

test("the pipeline runs, and runs nothing when it is run again", async () => {
  const store = mkdtempSync(path.join(tmpdir(), "rhymes-"))
  const run = () =>
    spawnSync("ptmflow", ["run", "pipelines/rhymes.ts", "--set", "steps=2", "--store", store], { encoding: "utf8" })
  const first = run()
  assert.equal(first.status, 0, first.stderr)
  assert.equal(run().status, 0)

  const results = await open(store)
  try {
    const [again] = await results.runs()
    assert.ok(again?.stages.every(({ status }) => status === "reused"))
    const rhymes = await results.table("verses.verses")
    assert.ok(rhymes.rows >= 10)
    for await (const batch of rhymes.batches()) {
      for (const row of batch) assert.match(row["id"], /^rhymes.*#\d+$/)
    }
  } finally {
    await results.close()
    rmSync(store, { recursive: true })
  }
})
