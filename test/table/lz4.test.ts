import { assert, describe, it } from "@effect/vitest"
import { decompressFrame } from "../../src/table/lz4.ts"

const MAGIC = [0x04, 0x22, 0x4d, 0x18]
/** "abcd", then 7 bytes from 3 back: a match that overlaps what it makes. Then "!" by itself, as a block ends with literals. */
const block = [0x43, ...Buffer.from("abcd"), 3, 0, 0x10, ...Buffer.from("!")]
const frame = (flags: number, ...rest: ReadonlyArray<number>) =>
  decompressFrame(Uint8Array.from([...MAGIC, flags, 0x40, ...rest]))
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const headerChecksum = 0
const end = [0, 0, 0, 0]
const sized = [block.length, 0, 0, 0, ...block]

describe("an LZ4 frame", () => {
  it("is matches that may overlap, and blocks that are not compressed", () => {
    const plain = [2, 0, 0, 0x80, ...Buffer.from("xy")]
    assert.strictEqual(text(frame(0x60, headerChecksum, ...sized, ...plain, ...end)), "abcdbcdbcdb!xy")
  })

  it("may say how long it is, and have a checksum behind each block", () => {
    const size = [24, 0, 0, 0, 0, 0, 0, 0]
    const checked = [...sized, 1, 2, 3, 4]
    assert.strictEqual(
      text(frame(0x78, ...size, headerChecksum, ...checked, ...checked, ...end)),
      "abcdbcdbcdb!".repeat(2)
    )
  })

  it("is refused where a match begins before the text, and where a block is cut off", () => {
    const before = [0x10, ...Buffer.from("a"), 2, 0]
    assert.throws(() => frame(0x60, headerChecksum, before.length, 0, 0, 0, ...before, ...end), /damaged/)
    assert.throws(() => frame(0x60, headerChecksum, ...sized.slice(0, -1)), /cut off/)
    assert.throws(() => decompressFrame(new Uint8Array(16)), /not an LZ4 frame/)
  })
})
