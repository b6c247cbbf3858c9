import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { live, writeMetrics } from "../../src/exports/tensorboard.ts"
import { crc32c, scalarsRecord, versionRecord } from "../../src/exports/tensorboard-record.ts"
import type { LogEntry } from "../../src/lineage/run-log.ts"
import { fieldsOf, messages, textIn } from "./protobuf.ts"

/** Three records as TensorBoard 2's own `RecordWriter` and protocol buffers write them. */
const theirs =
  "1800000000000000a37f4b22090000905f67c1da411a0d627261696e2e4576656e743a324d3019f0300000000000000095f5d05f09022b3f6067c1da4110ac022a220a0b0a046c6f737315bec220400a130a0cc3bc626572666c7573732f7815000000801b2b8ad41e00000000000000d9dc1232090000406067c1da41108580808080202a0c0a0a0a036e616e150000807fab590911"

/** The scalars of an event file: step, tag and value. */
const scalarsIn = (file: Buffer): ReadonlyArray<readonly [number, string, number]> => {
  const found: Array<readonly [number, string, number]> = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    const event = fieldsOf(file.subarray(at + 12, at + 12 + length))
    for (const summary of messages(event, 5)) {
      for (const value of messages(summary, 1)) {
        found.push([(event.get(2)?.[0] ?? 0) as number, textIn(value, 1), (value.get(2)![0] as Buffer).readFloatLE()])
      }
    }
    at += 16 + length
  }
  return found
}

const progress = (stage: string, metrics: Record<string, number | null>, step?: number): LogEntry => ({
  _tag: "Progress",
  stage,
  time: 1_795_530_112_987,
  seconds: 1,
  metrics,
  ...(step === undefined ? {} : { step })
})

const newFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "ptmflow-tensorboard-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

/** Scalars by the folder they are in. */
const readAll = (folder: string) =>
  Object.fromEntries(
    fs
      .readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => path.basename(name).startsWith("events.out.tfevents."))
      .map((name) => [path.dirname(name), scalarsIn(fs.readFileSync(path.join(folder, name)))])
  )

describe("TensorBoard's event files", () => {
  it("have the CRC-32C of RFC 3720, B.4", () => {
    assert.strictEqual(crc32c(Buffer.from("123456789")), 0xe3069283)
    assert.strictEqual(crc32c(Buffer.alloc(32)), 0x8a9136aa)
    assert.strictEqual(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43)
  })

  it("are byte for byte those that TensorBoard writes", () => {
    const ours = Buffer.concat([
      versionRecord(1_795_530_110_250),
      scalarsRecord(1_795_530_112_987, 300, { loss: 2.5118861, "überfluss/x": -0 }),
      scalarsRecord(1_795_530_113_000, 2 ** 40 + 5, { nan: Number.POSITIVE_INFINITY })
    ])
    assert.strictEqual(ours.toString("hex"), theirs)
  })

  it.effect("have all reports of a run, a folder for each stage; a report without a step is of the last one", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      const entries = [
        progress("sft", { loss: 3 }, 1),
        progress("a/b", { score: 1 }),
        progress("sft", { loss: null, rate: 0.5 }, 7),
        progress("sft", { final: 2 }),
        progress("a/b", { score: 2 }),
        progress("..", { score: 3 }),
        progress("empty", {}, 1)
      ]
      const stages = yield* writeMetrics(folder, "r1", entries)
      assert.deepStrictEqual(stages, ["sft", "a/b", ".."])
      assert.deepStrictEqual(readAll(folder), {
        "r1/sft": [
          [1, "loss", 3],
          [7, "loss", Number.NaN],
          [7, "rate", 0.5],
          [7, "final", 2]
        ],
        "r1/a%2Fb": [
          [0, "score", 1],
          [1, "score", 2]
        ],
        "r1/%2E%2E": [[0, "score", 3]]
      })
      const again = yield* Effect.flip(writeMetrics(folder, "r1", entries))
      assert.include(again.message, "it has files of run r1")
    })
  )

  it.live("are written while a run goes on, and fail nothing where they cannot be", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      const failures: Array<string> = []
      const hear = (error: { readonly message: string }) => Effect.sync(() => void failures.push(error.message))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const take = yield* live(folder, hear)
          take("r1", progress("sft", { loss: 3 }, 1))
          yield* Effect.sleep(1500)
          assert.deepStrictEqual(readAll(folder), { "r1/sft": [[1, "loss", 3]] })
          take("r1", progress("sft", { loss: 2 }, 2))
        })
      )
      assert.deepStrictEqual(readAll(folder), {
        "r1/sft": [
          [1, "loss", 3],
          [2, "loss", 2]
        ]
      })
      fs.writeFileSync(path.join(folder, "file"), "")
      yield* Effect.scoped(
        Effect.map(live(path.join(folder, "file"), hear), (take) => take("r1", progress("sft", { loss: 3 }, 1)))
      )
      assert.strictEqual(failures.length, 1)
      assert.include(failures[0], "ENOTDIR")
    })
  )
})
