import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { canonicalJson } from "../../src/operator/digest.ts"
import { LeaseSilence } from "../../src/store/lease.ts"
import { open, type Store } from "../../src/store/store.ts"
import { filesIn, newFolder } from "./folder.ts"

const text = (value: string) => new TextEncoder().encode(value)
const sha256 = (data: Uint8Array | string) => createHash("sha256").update(data).digest("hex")

const newStore = Effect.flatMap(newFolder, (folder) => open(path.join(folder, "store")))

const fileOf = (store: Store["Service"], digest: string) =>
  path.join(store.folder, "objects", digest.slice(0, 2), digest)

describe("blobs", () => {
  it.effect("are named by the digest of their bytes, whole or as a stream", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const bytes = text("call me ishmael".repeat(100_000))
      const whole = yield* store.sink.put(bytes)
      assert.deepStrictEqual(whole, { digest: sha256(bytes), bytes: bytes.length })
      const pieces = Stream.fromIterable([bytes.subarray(0, 7), bytes.subarray(7, 7), bytes.subarray(7)])
      assert.deepStrictEqual(yield* store.sink.put(pieces), whole)
      assert.deepStrictEqual(new Uint8Array(yield* store.source.bytes(whole)), bytes)
      const file = yield* store.source.path(whole)
      assert.strictEqual(sha256(fs.readFileSync(file)), whole.digest)
      assert.strictEqual(fs.statSync(file).mode & 0o222, 0)
      assert.deepStrictEqual(filesIn(path.join(store.folder, "temporary")), [])
    })
  )

  it.effect("a stream that fails leaves nothing", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const failing = Stream.concat(Stream.make(text("half")), Stream.fail("gone"))
      assert.strictEqual(yield* Effect.flip(store.sink.put(failing)), "gone")
      assert.deepStrictEqual(filesIn(path.join(store.folder, "temporary")), [])
      assert.isFalse(fs.existsSync(path.join(store.folder, "objects")))
    })
  )

  it.effect("a flipped bit is found by the first read of a process, named, and put aside; writing it again heals", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      const writer = yield* open(path.join(folder, "store"))
      const bytes = text("weights")
      const blob = yield* writer.sink.put(bytes)
      for (const read of ["bytes", "path"] as const) {
        const file = fileOf(writer, blob.digest)
        const damaged = fs.readFileSync(file)
        damaged[3]! ^= 16
        fs.chmodSync(file, 0o644)
        fs.writeFileSync(file, damaged)
        const store = yield* open(path.join(folder, "store"))
        const error = yield* Effect.flip<
          unknown,
          { readonly _tag: string; readonly place: string; readonly message: string },
          never
        >(store.source[read](blob))
        assert.strictEqual(error._tag, "ArtifactError")
        assert.strictEqual(error.place, blob.digest)
        assert.include(error.message, "damaged")
        const direct = yield* Effect.flip(store.blobs.bytes(blob))
        assert.strictEqual(direct.reason, "lost")
        assert.isFalse(store.blobs.has(blob))
        assert.strictEqual(filesIn(path.join(store.folder, "quarantine")).length, read === "bytes" ? 1 : 2)
        yield* store.sink.put(bytes)
        assert.isTrue(store.blobs.has(blob))
        assert.deepStrictEqual(new Uint8Array(yield* store.source.bytes(blob)), bytes)
      }
    })
  )

  it.effect("one that was cut short or has vanished is named", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const blob = yield* store.sink.put(text("some bytes"))
      const file = fileOf(store, blob.digest)
      fs.truncateSync(file, 4)
      assert.isFalse(store.blobs.has(blob))
      const cut = yield* Effect.flip(store.blobs.path(blob))
      assert.deepStrictEqual([cut.reason, cut.place], ["corrupt", blob.digest])
      const gone = yield* Effect.flip(store.blobs.path(blob))
      assert.deepStrictEqual([gone.reason, gone.place], ["lost", blob.digest])
      assert.include(gone.message, file)
    })
  )
})

describe("a store's folder", () => {
  it.effect("is made by the first write, and not by looking", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* newFolder, "deep", "store")
      const store = yield* open(folder)
      yield* store.journal.refresh
      assert.isTrue(Option.isNone(yield* store.resumePoints.load("k")))
      assert.isFalse(fs.existsSync(folder))
      yield* store.sink.put(text("x"))
      assert.strictEqual(fs.readFileSync(path.join(folder, "format"), "utf8"), `{"format":"ptmflow-store","version":1}`)
    })
  )

  it.effect("of a newer format, or with something else in it, is refused and left alone", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      fs.writeFileSync(path.join(folder, "format"), `{"format":"ptmflow-store","version":2}`)
      const newer = yield* Effect.flip(open(folder))
      assert.strictEqual(newer.reason, "newer-format")
      assert.include(newer.message, "format 2")
      fs.writeFileSync(path.join(folder, "format"), `{"format":"of another program"}`)
      assert.strictEqual((yield* Effect.flip(open(folder))).reason, "not-a-store")
      const other = yield* newFolder
      fs.writeFileSync(path.join(other, "thesis.txt"), "years of work")
      assert.strictEqual((yield* Effect.flip(open(other))).reason, "not-a-store")
      assert.deepStrictEqual(filesIn(other), ["thesis.txt"])
    })
  )

  it.effect("that cannot be made is an error that names it", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      fs.writeFileSync(path.join(folder, "file"), "")
      const error = yield* Effect.flip(open(path.join(folder, "file", "store")))
      assert.strictEqual(error._tag, "StoreError")
      assert.include(error.message, path.join(folder, "file"))
    })
  )
})

describe("resume points", () => {
  const save = (store: Store["Service"], step: number, content: string) =>
    store.resumePoints.save("key", (sink) => Effect.map(sink.put(text(content)), (blob) => ({ step, blob })))
  const load = Effect.fnUntraced(function* (store: Store["Service"]) {
    const point = yield* store.resumePoints.load("key")
    if (Option.isNone(point)) return undefined
    const { blob, step } = point.value.value as { step: number; blob: { digest: string; bytes: number } }
    return [step, new TextDecoder().decode(yield* point.value.source.bytes(blob))] as const
  })

  it.effect("the newest replaces the one before; a save that fails leaves the old one", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      assert.isUndefined(yield* load(store))
      yield* save(store, 1, "one")
      yield* save(store, 2, "two")
      assert.deepStrictEqual(
        filesIn(path.join(store.folder, "resume/key")).map((file) => path.dirname(file)),
        ["2", "2"]
      )
      const failing = store.resumePoints.save("key", (sink) =>
        Effect.andThen(sink.put(text("three")), Effect.fail("stop"))
      )
      assert.strictEqual(yield* Effect.flip(failing), "stop")
      assert.deepStrictEqual(yield* load(store), [2, "two"])
      yield* save(store, 4, "four")
      assert.deepStrictEqual(yield* load(yield* open(store.folder)), [4, "four"])
      yield* store.resumePoints.drop("key")
      assert.isUndefined(yield* load(store))
    })
  )

  it.effect("one that was loaded stays until the stage is done, as values may still read it", () =>
    Effect.gen(function* () {
      const writer = yield* newStore
      yield* save(writer, 1, "one")
      const store = yield* open(writer.folder)
      const point = Option.getOrThrow(yield* store.resumePoints.load("key"))
      yield* save(store, 2, "two")
      yield* save(store, 3, "three")
      const { blob } = point.value as unknown as { blob: { digest: string; bytes: number } }
      assert.strictEqual(new TextDecoder().decode(yield* point.source.bytes(blob)), "one")
      assert.deepStrictEqual(yield* load(store), [3, "three"])
    })
  )

  it.effect("a damaged one is none", () =>
    Effect.gen(function* () {
      for (const damage of ["blob", "point"]) {
        const store = yield* newStore
        yield* save(store, 1, "one")
        const file = filesIn(path.join(store.folder, "resume/key")).find(
          (each) => each.endsWith("point") === (damage === "point")
        )!
        const at = path.join(store.folder, "resume/key", file)
        const bytes = fs.readFileSync(at)
        bytes[1]! ^= 1
        fs.chmodSync(at, 0o644)
        fs.writeFileSync(at, bytes)
        assert.isUndefined(yield* load(yield* open(store.folder)))
        yield* save(store, 2, "two")
        assert.deepStrictEqual(yield* load(yield* open(store.folder)), [2, "two"])
      }
    })
  )
})

describe("digests of files outside", () => {
  const backdate = (file: string) => {
    const then = new Date(Date.now() - 60_000)
    fs.utimesSync(file, then, then)
  }

  it.effect("are remembered between processes while a file is not touched", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const file = path.join(yield* newFolder, "a file, with spaces.txt")
      fs.writeFileSync(file, "before")
      backdate(file)
      assert.strictEqual((yield* store.files.digest(file)).digest, sha256("before"))
      const known = store.memo.get("file", file) as { readonly stamp: string }
      const again = yield* open(store.folder)
      assert.deepStrictEqual(again.memo.get("file", file), { ...known, digest: sha256("before") })
      // What is remembered is what counts: the file is not read while its stamp is the same.
      yield* again.memo.set("file", file, { ...known, digest: "remembered" })
      assert.strictEqual((yield* again.files.digest(file)).digest, "remembered")
      fs.writeFileSync(file, "after!")
      backdate(file)
      assert.strictEqual((yield* again.files.digest(file)).digest, sha256("after!"))
      fs.rmSync(file)
      assert.strictEqual((yield* Effect.flip(again.files.digest(file))).reason, "lost")
    })
  )

  it.effect("say when a file became what it is, whatever time it was given", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const file = path.join(yield* newFolder, "code.ts")
      fs.writeFileSync(file, "export const a = 1")
      const start = Date.now() - 1000
      for (const shift of [-3_600_000, 3_600_000]) {
        const time = new Date(Date.now() + shift)
        fs.utimesSync(file, time, time)
        const { changed } = yield* store.files.digest(file)
        assert.isAbove(changed, start)
        assert.isAtMost(changed, Date.now() + 1000)
      }
    })
  )

  it.effect("a change in the same tick of the clock is not missed", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const file = path.join(yield* newFolder, "quick.txt")
      for (let i = 0; i < 40; i++) {
        fs.writeFileSync(file, `content ${i % 2}`)
        assert.strictEqual((yield* store.files.digest(file)).digest, sha256(`content ${i % 2}`))
      }
    })
  )

  it.effect("what is superseded many times is written together anew", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      for (let i = 0; i < 1100; i++) yield* store.memo.set("file", `f${i % 3}`, { stamp: `${i}`, digest: "d" })
      const before = fs.statSync(path.join(store.folder, "memo")).size
      const again = yield* open(store.folder)
      assert.isBelow(fs.statSync(path.join(store.folder, "memo")).size, before / 100)
      assert.deepStrictEqual(again.memo.get("file", "f1"), { stamp: "1099", digest: "d" })
    })
  )
})

describe("leases", () => {
  it.live("one holds a key at a time, and others wait their turn", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      let now = 0
      let most = 0
      const waited: Array<number> = []
      const work = Effect.scoped(
        Effect.gen(function* () {
          yield* store.lease("key", ({ pid }) => Effect.sync(() => waited.push(pid)))
          most = Math.max(most, ++now)
          yield* Effect.sleep(100)
          now--
        })
      )
      yield* Effect.all(
        Array.from({ length: 5 }, () => work),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(most, 1)
      assert.isTrue(waited.length > 0 && waited.every((pid) => pid === process.pid))
      assert.deepStrictEqual(filesIn(path.join(store.folder, "leases")), [])
    })
  )

  it.live("one of a process that is gone does not hold; one of another host holds while it is touched", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const file = path.join(store.folder, "leases", "key.1-abc")
      fs.mkdirSync(path.dirname(file), { recursive: true })
      fs.writeFileSync(path.join(store.folder, "format"), `{"format":"ptmflow-store","version":1}`)
      const take = Effect.scoped(store.lease("key", () => Effect.void))
      const holding = (holder: object) => JSON.stringify({ holder, since: Date.now() })
      const { space } = (yield* Effect.promise(() => import("../../src/store/holder.ts"))).thisProcess()

      fs.writeFileSync(file, holding({ pid: 2 ** 22 + 1, host: "here", space, born: "" }))
      yield* take
      // The id is taken again, by this very process, which was born at another time.
      fs.writeFileSync(file, holding({ pid: process.pid, host: "here", space, born: "1" }))
      if (fs.existsSync("/proc/self/stat")) yield* take

      fs.writeFileSync(file, holding({ pid: 1, host: "elsewhere", space: "elsewhere", born: "" }))
      const waiting = yield* Effect.forkChild(take)
      yield* Effect.sleep(500)
      assert.isUndefined(waiting.pollUnsafe())
      const silent = new Date(Date.now() - 120_000)
      fs.utimesSync(file, silent, silent)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(filesIn(path.dirname(file)), [])
    }).pipe(Effect.provideService(LeaseSilence, 2500))
  )

  it.live("a clock that is set, or a machine that slept, takes no lease from a holder that is alive", () =>
    Effect.gen(function* () {
      const store = yield* newStore
      const held = yield* Effect.scoped(
        Effect.gen(function* () {
          const lease = yield* store.lease("key", () => Effect.void)
          const waiting = yield* Effect.forkScoped(Effect.scoped(store.lease("key", () => Effect.void)))
          const folder = path.join(store.folder, "leases")
          const [file] = filesIn(folder)
          const before = new Date(Date.now() - 3_600_000)
          fs.utimesSync(path.join(folder, file!), before, before)
          yield* Effect.sleep(1800)
          assert.isUndefined(waiting.pollUnsafe())
          assert.isAbove(fs.statSync(path.join(folder, file!)).mtimeMs, before.getTime() + 3_000_000)
          return yield* lease.held
        })
      )
      assert.isTrue(held)
    }).pipe(Effect.provideService(LeaseSilence, 12_000))
  )
})

describe("canonical JSON", () => {
  it("is one text for equal values, whatever the order of keys, and parses back", () => {
    const shuffled = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(shuffled)
      if (typeof value !== "object" || value === null) return value
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, each]) => [key, shuffled(each)])
      )
    }
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const canonical = canonicalJson(value as never)
        assert.strictEqual(canonicalJson(shuffled(value) as never), canonical)
        assert.deepStrictEqual(JSON.parse(canonical), value)
      })
    )
    assert.notStrictEqual(canonicalJson({ a: [1, 2] }), canonicalJson({ a: [2, 1] }))
    assert.notStrictEqual(canonicalJson("1"), canonicalJson(1))
    assert.notStrictEqual(canonicalJson(-0), canonicalJson(0))
  })
})
