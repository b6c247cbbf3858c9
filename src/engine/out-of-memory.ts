/**
 * What to do where a model does not fit on a device: an error that says what takes the room, and how large a batch would fit.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { DeviceKind } from "../device/device.ts"
import type { Plan } from "./plan.ts"

/**
 * There is no room on the device. `planBytes` is what the program needs in all, of which `wanted` bytes were not to be had; `buffers` are the largest of
 * its plan, `count` of one shape from one kernel; `beside` what the model has there already. Of a program with a batch, `fits` is the largest that there is
 * room for (0: none).
 */
export class OutOfDeviceMemory extends Schema.TaggedError<OutOfDeviceMemory>()("OutOfDeviceMemory", {
  device: Schema.String,
  program: Schema.String,
  wanted: Schema.Number,
  planBytes: Schema.Number,
  buffers: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      shape: Schema.Array(Schema.Number),
      count: Schema.Number,
      bytes: Schema.Number
    })
  ),
  beside: Schema.Array(Schema.Struct({ name: Schema.String, bytes: Schema.Number })),
  batch: Schema.optionalKey(Schema.Number),
  fits: Schema.optionalKey(Schema.Number),
  message: Schema.String
}) {}

/** Buffers that an error names. */
const named = 5

const megabytes = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`

/** A program that was to be placed, by what it needs at each batch. */
export interface Wanted {
  readonly program: string
  readonly plan: Plan
  readonly batch?: number | undefined
  readonly planAt?: ((batch: number) => Plan) | undefined
}

/** The largest batch below `batch` for which there is room, by halving: plans grow with it. */
const largestThatFits = Effect.fnUntraced(function* (batch: number, fits: (batch: number) => Effect.Effect<boolean>) {
  let [low, high] = [0, batch]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (yield* fits(middle)) low = middle
    else high = middle
  }
  return low
})

/** The error, with the batch that would fit: `hasRoom` says of a plan whether its memories could be allocated. */
export const outOfMemory = Effect.fnUntraced(function* (
  device: DeviceKind,
  { batch, plan, planAt, program }: Wanted,
  sizes: { readonly wanted: number; readonly planBytes: number },
  beside: OutOfDeviceMemory["beside"],
  hasRoom: (plan: Plan) => Effect.Effect<boolean>
) {
  const buffers = plan.buffers().slice(0, named)
  const fits =
    batch === undefined || planAt === undefined
      ? undefined
      : yield* largestThatFits(batch, (smaller) => hasRoom(planAt(smaller)))
  const list = buffers.map(
    ({ bytes, count, name, shape }) =>
      `${count > 1 ? `${count} of ` : ""}${name} [${shape.join(", ")}] ${megabytes(bytes)}`
  )
  const has = beside.map(({ bytes, name }) => `${name} ${megabytes(bytes)}`)
  const advice =
    fits === undefined
      ? "Use a smaller model, or a device with more memory"
      : fits === 0
        ? "Not even a batch of 1 fits: use shorter sequences, a smaller model, or a device with more memory"
        : `A batch of ${fits} would fit: lower the stage's batch (or microBatch) to that`
  const message = [
    `The ${device} device has no room for ${program}${batch === undefined ? "" : ` at batch ${batch}`}, which needs ${megabytes(sizes.planBytes)}: ${megabytes(sizes.wanted)} of it are not to be had`,
    ...(list.length === 0 ? [] : [`Its largest buffers are ${list.join("; ")}`]),
    ...(has.length === 0 ? [] : [`The model has there already ${has.join(", ")}`]),
    advice
  ].join(". ")
  return new OutOfDeviceMemory({
    device,
    program,
    ...sizes,
    buffers,
    beside,
    ...(batch === undefined ? {} : { batch }),
    ...(fits === undefined ? {} : { fits }),
    message
  })
})
