/** `gc`, `pin`, `fsck` and `reindex` as a person types them. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { counting, Folder } from "./command-line.ts"

describe("commands that care for a store", () => {
  let folder: Folder
  beforeAll(async () => {
    folder = new Folder()
    const { code, errors } = await folder.start(["run", counting])
    assert.strictEqual(code, 0, errors)
  })
  afterAll(() => folder.remove())

  const json = async (...args: ReadonlyArray<string>) => {
    const { code, errors, out } = await folder.start([...args, "--json"])
    assert.strictEqual(code, 0, errors)
    return JSON.parse(out)
  }
  const blobs = () =>
    fs
      .readdirSync(path.join(folder.root, ".ptmflow/objects"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))

  it("export writes an artifact's files into a folder that is new, and into no other", async () => {
    const status = await json("status")
    const stage = status.newest.stages.find(({ artifacts }: { artifacts: object }) => Object.keys(artifacts).length > 0)
    const [port, artifact] = Object.entries(stage.artifacts)[0] as [string, { readonly parts: object }]
    const { files } = await json("export", `${stage.stage}.${port}`, "out/files")
    const names = Object.keys(artifact.parts)
    assert.deepStrictEqual(
      files.map(({ name }: { name: string }) => name),
      names
    )
    assert.deepStrictEqual(fs.readdirSync(path.join(folder.root, "out/files")).toSorted(), names.toSorted())
    const again = await folder.start(["export", `${stage.stage}.${port}`, "out/files"])
    assert.strictEqual(again.code, 1)
    assert.include(again.errors, "it is there and has files")
    assert.deepStrictEqual(fs.readdirSync(path.join(folder.root, "out")), ["files"])
  })

  it("gc --dry-run says what would go and removes nothing; a pin keeps all; without it all goes", async () => {
    const before = blobs().length
    const dry = await json("gc", "--keep", "0", "--grace", "0s", "--dry-run")
    // The log of its only run goes too.
    const kinds = Map.groupBy(dry.removed as ReadonlyArray<{ readonly kind: string }>, ({ kind }) => kind)
    assert.deepStrictEqual([kinds.get("blob")?.length, kinds.get("log")?.length], [before, 1])
    assert.strictEqual(blobs().length, before)
    const { run } = await json("pin", "newest")
    const kept = await json("gc", "--keep", "0", "--grace", "0s")
    assert.deepStrictEqual(kept, {
      dryRun: false,
      roots: [{ run, pipeline: "counting", why: "pinned" }],
      kept: before,
      removed: [],
      batches: 0
    })
    await json("pin", run, "--remove")
    const said = await folder.start(["gc", "--keep", "0", "--grace", "0s"])
    assert.match(said.out, /^kept 0 blobs of 0 runs: .*\nremoved \S+ k?B: \d+ blobs?, 1 log file\n$/)
    assert.strictEqual(blobs().length, 0)
    const wrong = await folder.start(["gc", "--grace", "soon"])
    assert.strictEqual(wrong.code, 1)
    assert.include(wrong.errors, "a number and a unit")
    assert.strictEqual((await folder.start(["run", counting])).code, 0)
    assert.strictEqual(blobs().length, before)
  })

  it("fsck exits with 1 until what it found is repaired", async () => {
    const [file] = blobs()
    fs.chmodSync(file!, 0o644)
    const bytes = fs.readFileSync(file!)
    bytes[0]! ^= 4
    fs.writeFileSync(file!, bytes)
    assert.strictEqual((await folder.start(["fsck", "--quick"])).code, 0)
    const found = await folder.start(["fsck"])
    assert.strictEqual(found.code, 1)
    assert.include(found.out, "its bytes have another digest")
    assert.include(found.out, "fsck --repair")
    assert.strictEqual((await folder.start(["fsck", "--repair"])).code, 0)
    assert.strictEqual((await folder.start(["run", counting])).code, 0)
    const { problems } = await json("fsck")
    assert.deepStrictEqual(problems, [])
  })

  it("reindex counts the stages", async () => {
    const { stages } = await json("reindex")
    assert.isAbove(stages, 0)
  })
})
