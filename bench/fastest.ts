/** The peer at its fastest honest setting: each of its variants is tried, the fastest stays. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { Peer } from "./peers.ts"
import { trial } from "./race.ts"
import { type Expected, openPeer, type Side } from "./sides.ts"
import { WorkerError } from "./worker.ts"

/** Seconds that a process may take to start, beyond its work. */
const startSeconds = 15

/** One way for a peer to do the work. */
export interface Variant {
  readonly name: string
  readonly request: object
}

/** The fastest side, alive, what a time took in its trial, and the same of the others (those that failed are left out). */
export interface Fastest {
  readonly side: Side
  readonly seconds: number
  readonly others: Readonly<Record<string, number>>
}

/**
 * Fails if no variant works, with what the last one said. `hopeless` (default: never): a variant whose step
 * takes longer than this, in seconds, is given up before it is done, and the ones after it are not tried.
 */
export const fastest = Effect.fnUntraced(function* (
  name: string,
  peer: Peer,
  variants: ReadonlyArray<Variant>,
  expected: Expected,
  hopeless = Number.POSITIVE_INFINITY
): Effect.fn.Return<Fastest, WorkerError, Scope.Scope> {
  const parent = yield* Effect.scope
  const tried: Record<string, number> = {}
  let best: { readonly side: Side; readonly seconds: number; readonly scope: Scope.Closeable } | undefined
  let problem = new WorkerError({ side: name, message: "no variant was named" })
  // A trial does the work at least twice.
  const limit = Math.min(startSeconds + 2 * hopeless, 3600)
  for (const variant of variants) {
    const late = new WorkerError({ side: name, message: `${variant.name} was not done after ${limit.toFixed(0)} s` })
    const scope = yield* Scope.fork(parent)
    const made = yield* openPeer(name, variant.name, peer, variant.request, expected).pipe(
      Effect.flatMap(trial),
      Effect.provideService(Scope.Scope, scope),
      Effect.timeoutOrElse({ duration: `${limit} seconds`, orElse: () => Effect.fail(late) }),
      Effect.result
    )
    if (Result.isFailure(made)) {
      problem = made.failure
      yield* Scope.close(scope, Exit.void)
      if (problem === late) break
      continue
    }
    const { seconds, side } = made.success
    tried[variant.name] = seconds
    const loser = best !== undefined && best.seconds <= seconds ? scope : best?.scope
    if (loser !== scope) best = { side, seconds, scope }
    if (loser !== undefined) yield* Scope.close(loser, Exit.void)
    if (seconds > hopeless) break
  }
  if (best === undefined) return yield* problem
  const { [best.side.variant]: _, ...others } = tried
  return { side: best.side, seconds: best.seconds, others }
})
