/** What the benchmark found, as it is written to JSON. */
import * as Schema from "effect/Schema"

/** What one side measured: one value a repeat, in seconds or bytes, and the peak resident bytes of its process. */
export const Sample = Schema.Struct({
  version: Schema.String,
  variant: Schema.String,
  values: Schema.Array(Schema.Number),
  bytes: Schema.Number
})
export type Sample = typeof Sample.Type

/** A side that was not measured, and why. */
export const NotMeasured = Schema.Struct({ notMeasured: Schema.String })
export type NotMeasured = typeof NotMeasured.Type

/**
 * One row. A repeat does `units` units of work that need `flops` FLOPs; of a "latency" its seconds count, in `units` of the unit. `target` is the least
 * ratio to the peer ("ratio"), the greatest ("memory"), the least share of the FMA peak ("share"), or the most that ours may be, in the unit ("most"). `others`: the median of the peer's slower variants.
 */
export const Row = Schema.Struct({
  name: Schema.String,
  work: Schema.String,
  quantity: Schema.Literals(["seconds", "bytes", "latency"]),
  unit: Schema.String,
  units: Schema.Number,
  flops: Schema.NullOr(Schema.Number),
  ours: Schema.Union([Sample, NotMeasured]),
  peer: Schema.NullOr(Schema.Struct({ name: Schema.String, sample: Schema.Union([Sample, NotMeasured]) })),
  others: Schema.Record(Schema.String, Schema.Number),
  target: Schema.NullOr(
    Schema.Struct({ kind: Schema.Literals(["ratio", "memory", "share", "most"]), value: Schema.Number })
  ),
  seconds: Schema.Number
})
export type Row = typeof Row.Type

/** One run of the benchmark. `peak`: FLOP/s of f32 fused multiply-adds that one thread reached, the most of this run. */
export const Report = Schema.Struct({
  date: Schema.String,
  command: Schema.String,
  commit: Schema.String,
  machine: Schema.Struct({
    processor: Schema.String,
    instructions: Schema.String,
    cores: Schema.Int,
    memory: Schema.Number,
    system: Schema.String
  }),
  versions: Schema.Record(Schema.String, Schema.String),
  threads: Schema.Int,
  repeats: Schema.Int,
  peak: Schema.Number,
  rows: Schema.Array(Row)
})
export type Report = typeof Report.Type

export const isMeasured = (side: Sample | NotMeasured): side is Sample => "values" in side
