/** What test/device/across.test.ts uses of its test framework, so that it runs on a machine that has none. */
import { assert as chai } from "chai"
import * as Effect from "effect/Effect"

export const assert: Chai.AssertStatic = chai

const tests: Array<{ readonly name: string; readonly effect: () => Effect.Effect<unknown, unknown> }> = []
const after: Array<() => Promise<unknown>> = []
let group = ""

export const describe = (name: string, define: () => void): void => {
  group = name
  define()
}
export const afterAll = (clear: () => Promise<unknown>): void => {
  after.push(clear)
}
export const it = {
  live: (name: string, effect: () => Effect.Effect<unknown, unknown>): void => {
    tests.push({ name: `${group}: ${name}`, effect })
  }
}

/** Runs what was declared, one after the other, prints a line each, and ends the process with 1 if any failed or there was none. */
export const finish = async (): Promise<void> => {
  let failed = 0
  for (const { effect, name } of tests) {
    const began = performance.now()
    const outcome = await Effect.runPromise(effect()).then(
      () => "passed",
      (error) => `FAILED: ${error instanceof Error ? error.message : String(error)}`
    )
    if (outcome !== "passed") failed++
    process.stdout.write(`${outcome} (${((performance.now() - began) / 1000).toFixed(1)} s) ${name}\n`)
  }
  for (const clear of after) await clear().catch(() => {})
  process.stdout.write(`${tests.length - failed} passed, ${failed} failed\n`)
  process.exit(failed === 0 && tests.length > 0 ? 0 : 1)
}
