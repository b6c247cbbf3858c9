/**
 * The store's protocol under drawn faults. One seed again: `PTMFLOW_SEED=17 npx vitest run test/store/simulation`; many:
 * `PTMFLOW_SEEDS=5000 npx vitest run test/store/simulation`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Simulated, simulate, Violation } from "./simulate.ts"

const only = process.env["PTMFLOW_SEED"]
const count = Number(process.env["PTMFLOW_SEEDS"] ?? 60)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

const simulated = (seed: number, omit?: "sync" | "syncFolder"): Promise<Simulated | Violation> =>
  Effect.runPromise(simulate(seed, omit)).catch((error: unknown) => {
    if (error instanceof Violation) return error
    throw error
  })

describe("processes that are killed, machines that crash, disks that are full (rows 15, 16, 19)", () => {
  it("nothing that was recorded is lost or wrong, nothing is made twice, and all is made in the end", async () => {
    const total = { made: 0, resumed: 0, kills: 0, crashes: 0, takeovers: 0, full: 0 }
    for (const seed of seeds) {
      const result = await simulated(seed)
      if (result instanceof Violation) {
        throw new Error(`${result.message}\nagain: PTMFLOW_SEED=${seed} npx vitest run test/store/simulation`)
      }
      for (const name of Object.keys(total) as ReadonlyArray<keyof typeof total>) total[name] += result[name]
    }
    console.log(`${seeds.length} seeds from ${seeds[0]}: ${JSON.stringify(total)}`)
    // Each kind of fault did happen.
    if (only === undefined) for (const [name, times] of Object.entries(total)) assert.isAbove(times, 0, name)
  }, 3_600_000)

  it("a seed gives the same changes of the disk at the same times, every time", async () => {
    const [one, two, other] = [await simulated(7), await simulated(7), await simulated(8)]
    assert.deepStrictEqual(one, two)
    assert.notDeepEqual((one as Simulated).trace, (other as Simulated).trace)
  })

  // What the simulation is worth: it finds a store that forgets to flush.
  for (const omit of ["sync", "syncFolder"] as const) {
    it(`a store that leaves out ${omit} is found out`, async () => {
      let found: Violation | undefined
      for (let seed = 1; seed <= 20 && found === undefined; seed++) {
        const result = await simulated(seed, omit)
        if (result instanceof Violation) found = result
      }
      assert.match(found?.message ?? "", /lost|not a store's|is no store/)
    })
  }
})
