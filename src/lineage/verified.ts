/**
 * What was found when a stage ran again to see whether it gives what its record says.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Holder } from "../store/holder.ts"
import type { Journal } from "../store/journal.ts"
import type { StoreError } from "../store/storeError.ts"
import { Reason } from "./reason.ts"

const Value = Schema.NullOr(Schema.Union([Schema.String, Schema.Number, Schema.Boolean]))

/**
 * The first place where what was recorded and what was found are not the same: `part` is a blob of the output, `place` where in it. Of a tensor, `differing` values
 * of `of` differ, by `largest` at most.
 */
export const FirstDifference = Schema.Struct({
  part: Schema.String,
  place: Schema.String,
  recorded: Value,
  found: Value,
  differing: Schema.optionalKey(Schema.Number),
  of: Schema.optionalKey(Schema.Number),
  largest: Schema.optionalKey(Schema.Number),
  message: Schema.String
})
export type FirstDifference = typeof FirstDifference.Type

/** A value as it is shown. */
const shown = (value: unknown): FirstDifference["recorded"] => {
  if (value === null || typeof value === "number" || typeof value === "boolean") return value
  if (value === undefined) return null
  const text = typeof value === "string" ? value : JSON.stringify(value)
  return text.length > 200 ? `${text.slice(0, 199)}…` : text
}

/** A difference in words: `table.arrow, row 3, column text: "a" -> "b"`. */
export const differenceAt = (
  part: string,
  place: string,
  recorded: unknown,
  found: unknown,
  more: Pick<FirstDifference, "differing" | "of" | "largest"> = {}
): FirstDifference => {
  const [was, is] = [shown(recorded), shown(found)]
  const words = (value: unknown, as: FirstDifference["recorded"]) =>
    value === undefined ? "(absent)" : typeof value === "string" ? JSON.stringify(as) : String(as)
  const rest =
    more.differing === undefined
      ? ""
      : `; ${more.differing} of ${more.of} values differ, by ${more.largest!.toPrecision(3)} at most`
  const message = `${part === "" ? "" : `${part}, `}${place}: ${words(recorded, was)} -> ${words(found, is)}${rest}`
  return { part, place, recorded: was, found: is, ...more, message }
}

/** The digests of an output as it was recorded and as it was found; `difference` where they differ and both are at hand. */
export const OutputVerdict = Schema.Struct({
  port: Schema.String,
  recorded: Schema.String,
  found: Schema.String,
  difference: Schema.optionalKey(FirstDifference)
})
export type OutputVerdict = typeof OutputVerdict.Type

/** What of a stage ran again where not all of it did: batches of its input, or updates, `ranges` of them. */
export const Sampled = Schema.Struct({
  of: Schema.Literals(["batches", "updates"]),
  made: Schema.Number,
  total: Schema.Number,
  ranges: Schema.optionalKey(Schema.String)
})
export type Sampled = typeof Sampled.Type

/**
 * One verification of a stage. `proven`: all that ran again gave what is recorded; `differs`: something did not; `unverifiable`: it could not run as it ran then, for
 * these `reasons`; `failed`: it ran and failed with this `failure`. `holder` and `user` say who, `device` and `numerics` on what; `time` (of the start) is milliseconds since 1970.
 */
export const Verified = Schema.Struct({
  key: Schema.String,
  stage: Schema.String,
  operator: Schema.String,
  verdict: Schema.Literals(["proven", "differs", "unverifiable", "failed"]),
  /** The digests that are recorded, by output. */
  recorded: Schema.Record(Schema.String, Schema.String),
  outputs: Schema.Array(OutputVerdict),
  update: Schema.optionalKey(FirstDifference),
  reasons: Schema.Array(Reason),
  failure: Schema.optionalKey(Schema.Struct({ cause: Schema.String, message: Schema.String })),
  sampled: Schema.optionalKey(Sampled),
  device: Schema.NullOr(Schema.String),
  numerics: Schema.NullOr(Schema.String),
  user: Schema.String,
  holder: Holder,
  time: Schema.Number,
  seconds: Schema.Number
})
export type Verified = typeof Verified.Type

const decode = Schema.decodeUnknownOption(Verified)
const encode = Schema.encodeSync(Verified)

/** An artifact as it is looked for: output `port` of the stage with `key`. */
interface Sought {
  readonly key: string
  readonly port: string
  readonly artifact: { readonly digest: string }
}

/** The verifications of the stage that gave an artifact, newest first. */
export function* verificationsOf(journal: Journal, { artifact, key, port }: Sought): Generator<Verified> {
  let entry = journal.newest("verified", key)
  for (; entry !== undefined; entry = journal.newest("verified", key, entry.position - 1)) {
    const verified = decode(entry.value())
    if (Option.isSome(verified) && verified.value.recorded[port] === artifact.digest) yield verified.value
  }
}

/** The newest of them, if there was one. */
export const verifiedOf = (journal: Journal, sought: Sought): Verified | undefined => {
  for (const verified of verificationsOf(journal, sought)) return verified
  return undefined
}

/** Adds a verification: past ones stay. */
export const addVerified = (journal: Journal, verified: Verified): Effect.Effect<void, StoreError> =>
  journal.append([{ kind: "verified", key: verified.key, value: encode(verified) }], { durable: true })
