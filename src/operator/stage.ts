/**
 * What a running operator is given by whoever runs it: a place to report progress to, and resume points.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ArtifactError } from "./artifact.ts"
import type { Port } from "./port.ts"
import type { RowRanges } from "./row-ranges.ts"

/**
 * One report of progress. `metrics` are the latest values, by name (loss, reward, tokensPerSecond ...); the last values reported
 * are kept in the stage's record.
 */
export interface Progress {
  readonly step?: number
  readonly steps?: number
  readonly metrics?: { readonly [name: string]: number }
}

/**
 * What an update of a training took in: `step` updates are done with it, it had this `loss`, and learned from these `rows` of its stage's inputs, by
 * port (of a text in shards: these tokens).
 */
export interface Update {
  readonly step: number
  readonly loss: number
  readonly rows: { readonly [port: string]: RowRanges }
}

/** A saved state of a stage that is not finished: `step` steps are done, and going on from `value` gives the same bits. */
export interface ResumePoint<A> {
  readonly step: number
  readonly value: A
}

/** The stage in which an operator runs. Resume points belong to the stage's key: a changed stage never sees old ones. */
export class Stage extends Context.Service<
  Stage,
  {
    readonly name: string
    readonly report: (progress: Progress) => Effect.Effect<void>
    /** Notes each update of a training, in order, before a resume point is saved: lineage answers by it, and `verify` compares with it. */
    readonly learned: (update: Update) => Effect.Effect<void>
    /** The newest resume point, checked against its digests; none if there is none. */
    readonly resume: <A>(port: Port<A>) => Effect.Effect<Option.Option<ResumePoint<A>>, ArtifactError>
    /** Replaces the resume point; the old one stays valid until the new one is whole. */
    readonly save: <A>(port: Port<A>, point: ResumePoint<A>) => Effect.Effect<void, ArtifactError>
  }
>()("ptmflow/operator/Stage") {}
