/** The queue for devices: random requests, and what holds at every moment. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { makePool } from "../../src/executor/pool.ts"

interface Request {
  readonly at: number
  readonly suitable: ReadonlyArray<number>
  readonly lasts: number
  /** How the use of the device ends; `leaves`: who waits gives up after so long, or is interrupted while it has it. */
  readonly ends: "well" | "fails" | "leaves"
  readonly patience: number
}

const requestOf = (devices: number): fc.Arbitrary<Request> =>
  fc.record({
    at: fc.nat(30),
    suitable: fc.shuffledSubarray(
      Array.from({ length: devices }, (_, i) => i),
      { minLength: 1 }
    ),
    lasts: fc.nat(9),
    ends: fc.constantFrom("well", "well", "fails", "leaves"),
    patience: fc.nat(12)
  })

const played = Effect.fnUntraced(function* (devices: number, requests: ReadonlyArray<Request>) {
  const pool = makePool(Array.from({ length: devices }, (_, i) => i))
  const usedBy = new Map<number, number>()
  const waiting: Array<number> = []
  const served: Array<number> = []
  const use = (id: number, { ends, lasts }: Request) =>
    Effect.fnUntraced(function* (item: number) {
      // Law 1: nobody else has it. Law 2: nobody who waits, and came before, could have had it.
      assert.isFalse(usedBy.has(item))
      assert.include(requests[id]!.suitable, item)
      const before = waiting.slice(0, waiting.indexOf(id))
      for (const earlier of before) assert.notInclude(requests[earlier]!.suitable, item)
      waiting.splice(waiting.indexOf(id), 1)
      usedBy.set(item, id)
      yield* Effect.sleep(lasts).pipe(Effect.ensuring(Effect.sync(() => usedBy.delete(item))))
      served.push(id)
      if (ends === "fails") return yield* Effect.fail("as drawn" as const)
    })
  const lone = Effect.fnUntraced(function* (id: number) {
    const request = requests[id]!
    yield* Effect.sleep(request.at)
    waiting.push(id)
    const leave = Effect.sync(() => {
      if (waiting.includes(id)) waiting.splice(waiting.indexOf(id), 1)
    })
    const asking = Effect.onInterrupt(Effect.ignore(pool.using(request.suitable, use(id, request))), () => leave)
    if (request.ends !== "leaves") return yield* asking
    const fiber = yield* Effect.forkChild(asking, { startImmediately: true })
    yield* Effect.sleep(request.patience)
    yield* Fiber.interrupt(fiber)
  })
  const all = yield* Effect.forkChild(
    Effect.forEach(requests.keys(), lone, { concurrency: "unbounded", discard: true }),
    { startImmediately: true }
  )
  for (let moment = 0; moment < 30 + requests.length * 10 + 20; moment++) {
    yield* TestClock.adjust(1)
    // Law 1: nothing is free that somebody waits for.
    for (const id of waiting) for (const item of requests[id]!.suitable) assert.isTrue(usedBy.has(item))
  }
  yield* Fiber.join(all)
  assert.strictEqual(usedBy.size, 0)
  // Law 3: it all came to an end, and who did not leave was served.
  assert.deepStrictEqual(waiting, [])
  requests.forEach(({ ends }, id) => {
    if (ends !== "leaves") assert.include(served, id)
  })
})

describe("a pool", () => {
  it.effect("gives each thing to one at a time, first come first served, whatever they do", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc
            .integer({ min: 1, max: 4 })
            .chain((devices) =>
              fc.tuple(fc.constant(devices), fc.array(requestOf(devices), { minLength: 1, maxLength: 14 }))
            ),
          ([devices, requests]) => Effect.runPromise(played(devices, requests).pipe(Effect.provide(TestClock.layer())))
        ),
        { numRuns: 60 }
      )
    )
  )
})
