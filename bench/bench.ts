/** What every group of the benchmark is given, and what it is. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Peers } from "./peers.ts"
import type { Row } from "./result.ts"

/** The settings of a run. */
export class Bench extends Context.Service<
  Bench,
  {
    readonly threads: number
    readonly repeats: number
    readonly peers: Peers
  }
>()("ptmflow/bench/Bench") {}

/** One thing that is measured; it may give several rows (`train/base`: f32 and bf16). A side that fails is a row "not measured", not an error. */
export interface Case {
  readonly name: string
  readonly run: Effect.Effect<ReadonlyArray<Row>, never, Bench>
}

/** Cases that belong together; `byDefault` groups are run when none is named. */
export interface Group {
  readonly name: string
  readonly description: string
  readonly byDefault: boolean
  readonly cases: ReadonlyArray<Case>
}
