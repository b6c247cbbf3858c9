/** A row: our side against a peer's. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Bench } from "./bench.ts"
import { type Fastest, fastest, type Variant } from "./fastest.ts"
import type { Peer } from "./peers.ts"
import { race } from "./race.ts"
import type { NotMeasured, Row, Sample } from "./result.ts"
import { type Expected, open, oursCommand, type Side } from "./sides.ts"
import type { WorkerError } from "./worker.ts"

/** Why a side was not measured, in one line. */
export const notMeasured = ({ message }: WorkerError): NotMeasured => ({ notMeasured: message.replaceAll("\n", " ") })

/** Our side, opened. */
export const openOurs = (variant: string, request: object, expected?: Expected) =>
  open("ptmflow", variant, oursCommand, request, expected)

/** The sides that could be opened race; the others are not measured. In the order of `sides`. */
export const raceThose = Effect.fnUntraced(function* (
  sides: ReadonlyArray<Result.Result<Side, WorkerError>>,
  repeats: number
) {
  const there = sides.flatMap((side) => (Result.isSuccess(side) ? [side.success] : []))
  const raced = yield* Effect.result(race(there, repeats))
  let next = 0
  return sides.map((side): Sample | NotMeasured =>
    Result.isFailure(side)
      ? notMeasured(side.failure)
      : Result.isFailure(raced)
        ? notMeasured(raced.failure)
        : raced.success[next++]!
  )
})

/** What a row is of; see `Row`. */
export interface Comparison extends Pick<Row, "name" | "work" | "unit" | "units" | "flops" | "target"> {
  readonly ours: { readonly variant: string; readonly request: object }
  readonly peer: { readonly name: string; readonly peer: Peer; readonly variants: ReadonlyArray<Variant> }
  readonly expected: Expected
}

/** Tries the peer's variants, races the fastest against ours. */
export const compare = Effect.fnUntraced(function* (comparison: Comparison) {
  const { expected, ours, peer, ...row } = comparison
  const { repeats } = yield* Bench
  const started = performance.now()
  const theirs: Result.Result<Fastest, WorkerError> = yield* Effect.result(
    fastest(peer.name, peer.peer, peer.variants, expected)
  )
  const mine = yield* Effect.result(openOurs(ours.variant, ours.request, expected))
  const [ourSample, peerSample] = yield* raceThose([mine, Result.map(theirs, ({ side }) => side)], repeats)
  const result: Row = {
    ...row,
    quantity: "seconds",
    ours: ourSample!,
    peer: { name: peer.name, sample: peerSample! },
    others: Result.isSuccess(theirs) ? theirs.success.others : {},
    seconds: (performance.now() - started) / 1000
  }
  return result
}, Effect.scoped)
