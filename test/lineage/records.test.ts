/** What is looked at of a stage's record when it is reused is what the schema says. */
import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { isKnownResult, KnownResult } from "../../src/lineage/records.ts"

const decode = Schema.decodeUnknownOption(KnownResult)

/** A result, in which any one part may be of another type or gone. */
const blob = { digest: "ab", bytes: 3 }
const result = {
  outputs: {
    text: { kind: "text", digest: "cd", parts: { text: blob, other: blob }, meta: { rows: 3, of: [1, "x"] } }
  },
  metrics: { loss: 1.5 },
  seconds: 0.25
}
const paths = [
  ["outputs"],
  ["outputs", "text"],
  ...["kind", "digest", "parts", "meta"].map((name) => ["outputs", "text", name]),
  ["outputs", "text", "parts", "other"],
  ["outputs", "text", "parts", "other", "digest"],
  ["outputs", "text", "parts", "other", "bytes"],
  ["metrics"],
  ["metrics", "loss"],
  ["seconds"],
  ["more"]
]

const replaced = (value: unknown, [name, ...rest]: ReadonlyArray<string>, by: unknown): unknown => {
  if (name === undefined) return by
  const fields = { ...(value as { [name: string]: unknown }) }
  if (rest.length === 0 && by === undefined) delete fields[name]
  else fields[name] = replaced(fields[name], rest, by)
  return fields
}

describe("isKnownResult", () => {
  it("accepts what the schema accepts", () => {
    assert.isTrue(isKnownResult(result))
    const other = fc.oneof(fc.constant(undefined), fc.jsonValue({ maxDepth: 2 }), fc.constant([]), fc.constant({}))
    const property = fc.property(fc.constantFrom(...paths), other, (path, by) => {
      const value = replaced(result, path, by)
      assert.strictEqual(isKnownResult(value), Option.isSome(decode(value)), JSON.stringify(value))
    })
    fc.assert(property, { numRuns: 2000 })
    for (const value of [null, undefined, 1, "x", [], {}]) assert.isFalse(isKnownResult(value))
  })
})
