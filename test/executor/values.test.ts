import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { decodeValue, encodeValue } from "../../src/executor/values.ts"
import type { Port } from "../../src/operator/port.ts"
import { open } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { numbersPort } from "./json-port.ts"

describe("values in memory", () => {
  const counting = (resident: boolean) => {
    const count = { decoded: 0 }
    const port = {
      ...numbersPort,
      resident,
      decode: (...args: Parameters<typeof numbersPort.decode>) => {
        count.decoded++
        return numbersPort.decode(...args)
      }
    } as unknown as Port<unknown>
    return { count, port }
  }

  it.effect("one of a resident port is handed on as it is; of another it is decoded, once", () =>
    Effect.gen(function* () {
      for (const resident of [true, false]) {
        const store = yield* open(path.join(yield* newFolder, "store"))
        const { count, port } = counting(resident)
        const value = [1, 2, 3]
        const artifact = yield* encodeValue(store, port, value)
        const first = yield* decodeValue(store, port, artifact)
        assert.strictEqual(first === value, resident)
        assert.deepStrictEqual(first, value)
        assert.strictEqual(yield* decodeValue(store, port, artifact), first)
        assert.strictEqual(count.decoded, resident ? 0 : 1)
      }
    })
  )

  it.effect("the least recently used go first", () =>
    Effect.gen(function* () {
      const store = yield* open(path.join(yield* newFolder, "store"))
      const { count, port } = counting(true)
      const artifacts = yield* Effect.forEach(
        Array.from({ length: 64 }, (_, i) => i),
        (i) => encodeValue(store, port, [i, 0.5])
      )
      yield* decodeValue(store, port, artifacts[0]!)
      yield* encodeValue(store, port, [-1])
      yield* decodeValue(store, port, artifacts[0]!)
      yield* decodeValue(store, port, artifacts[2]!)
      assert.strictEqual(count.decoded, 0)
      assert.deepStrictEqual(yield* decodeValue(store, port, artifacts[1]!), [1, 0.5])
      assert.strictEqual(count.decoded, 1)
    })
  )
})
