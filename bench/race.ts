/** Measures sides in turns (ABABAB), because the machine's speed drifts. */
import * as Effect from "effect/Effect"
import type { Sample } from "./result.ts"
import type { Side } from "./sides.ts"
import { median } from "./spread.ts"
import type { WorkerError } from "./worker.ts"

/** A repeat lasts at least this, in seconds: shorter work is done several times in one. */
const repeatSeconds = 0.25

/** Work that is over soon is repeated more often: up to this many seconds of all sides, and three times the repeats asked for. */
const shortRace = 10

/** Work that takes longer than this, in seconds, needs no warm-up: it is done once. */
const longWork = 20

const secondsOf = (side: Side, times: number) =>
  Effect.map(side.worker.ask({ do: "repeat", times }), ({ seconds }) => seconds ?? Number.NaN)

/** Warms a side up; gives the seconds of one time, and how many times make a repeat. */
export const warm = Effect.fnUntraced(function* (side: Side) {
  const first = yield* secondsOf(side, 1)
  if (first > 2) return { seconds: first, times: 1 }
  const seconds = yield* secondsOf(side, Math.min(20, Math.ceil(0.1 / first)))
  return { seconds, times: Math.max(1, Math.ceil(repeatSeconds / seconds)) }
})

/** One sample a side, in the order given. */
export const race = Effect.fnUntraced(function* (
  sides: ReadonlyArray<Side>,
  repeats: number
): Effect.fn.Return<ReadonlyArray<Sample>, WorkerError> {
  const times: Array<number> = []
  const values = sides.map((): Array<number> => [])
  for (const [i, side] of sides.entries()) {
    const warmed = yield* warm(side)
    times.push(warmed.times)
    if (warmed.seconds > longWork) values[i]!.push(warmed.seconds)
  }
  const start = performance.now()
  for (let turn = 0; turn < 3 * repeats; turn++) {
    if (turn >= repeats && performance.now() - start > 1000 * shortRace) break
    for (const [i, side] of sides.entries()) {
      if (!(values[i]![0]! > longWork)) values[i]!.push(yield* secondsOf(side, times[i]!))
    }
  }
  return yield* Effect.forEach(sides, (side, i) =>
    Effect.map(side.worker.ask({ do: "memory" }), ({ bytes }) => ({
      version: side.version,
      variant: side.variant,
      values: values[i]!,
      bytes: bytes ?? 0
    }))
  )
})

/** A side that was tried before a race: kept if it is the fastest. */
export interface Candidate {
  readonly side: Side
  readonly seconds: number
}

/** Seconds of one time, tried briefly: the median of three turns, of one if it is long. */
export const trial = Effect.fnUntraced(function* (side: Side) {
  const { seconds, times } = yield* warm(side)
  if (seconds > 2) return { side, seconds }
  const values: Array<number> = []
  for (let turn = 0; turn < 3; turn++) values.push(yield* secondsOf(side, times))
  return { side, seconds: median(values) }
})
