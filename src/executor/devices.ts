/**
 * Where stages may compute, by what they say of it and what the run has.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Device, DeviceError, type DeviceKind, type DeviceShape } from "../device/device.ts"
import { Devices } from "../device/devices.ts"
import type { StageNode } from "../pipeline/graph.ts"

/** A device by a name that tells it from the others of a run: `cpu`, or `cuda:1` where there are several. */
export interface NamedDevice {
  readonly name: string
  readonly shape: DeviceShape
}

/** No device is what a stage needs. `need` says what that is. */
export class ResourceError extends Schema.TaggedError<ResourceError>()("ResourceError", {
  stage: Schema.String,
  need: Schema.String,
  message: Schema.String
}) {}

/** Where a stage may run, best first: devices that give the same bits, as its key has their class; `numerics` is that. */
export interface Place {
  readonly devices: ReadonlyArray<NamedDevice>
  readonly numerics: Effect.Effect<string, DeviceError>
}

/** The devices of this run: what `Devices` has, or else the one `Device` that is provided. */
export const devicesOf: Effect.Effect<Devices["Service"] | undefined> = Effect.gen(function* () {
  const many = Option.getOrUndefined(yield* Effect.serviceOption(Devices))
  const one = Option.getOrUndefined(yield* Effect.serviceOption(Device))
  if (many !== undefined || one === undefined) return many
  return Devices.of({
    preferred: one.kind,
    reason: "",
    of: (kind) =>
      kind === one.kind
        ? Effect.succeed([one])
        : Effect.fail(
            new DeviceError({ device: kind, operation: "open", message: `this run has the ${one.kind} device alone` })
          )
  })
})

const inWords = ({ name, shape }: NamedDevice): string => {
  const memory = shape.memory === undefined ? "" : ` with ${gigabytes(shape.memory)}`
  return `${name}${memory}`
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`

/** What gives each stage that uses a device its place; devices have one name and one numerics class for all of them. */
export const placing = (devices: Devices["Service"] | undefined) => {
  const named = new Map<DeviceKind, ReadonlyArray<NamedDevice>>()
  const of = Effect.fnUntraced(function* (kind: DeviceKind, from: Devices["Service"]) {
    const known = named.get(kind)
    if (known !== undefined) return known
    const shapes = yield* from.of(kind)
    const all = shapes.map((shape, i) => ({ name: shapes.length === 1 ? kind : `${kind}:${i}`, shape }))
    named.set(kind, all)
    return all
  })
  return Effect.fnUntraced(function* (node: StageNode): Effect.fn.Return<Place, ResourceError | DeviceError> {
    const { gpu, memory } = node.resources
    const refuse = (need: string, there: string) =>
      new ResourceError({ stage: node.name, need, message: `stage ${node.name} needs ${need}, and ${there}` })
    if (devices === undefined) return yield* refuse("a device", "none is provided")
    const kind = node.device ?? devices.preferred
    const all = yield* of(kind, devices)
    if (gpu !== undefined && kind !== "cuda") {
      const chosen = node.device === undefined ? "this run computes on" : "it is to run on"
      return yield* refuse("a GPU", `${chosen} the ${kind} device`)
    }
    const roomy = all.filter(({ shape }) => memory === undefined || (shape.memory ?? memory) >= memory)
    if (roomy.length === 0) {
      return yield* refuse(
        `a device with ${gigabytes(memory!)} of memory`,
        all.length === 0 ? `there is no ${kind} device` : `there is ${all.map(inWords).join(", ")}`
      )
    }
    // Devices of one description are one model with one driver.
    const { shape } = roomy[0]!
    return {
      devices: roomy.filter((each) => each.shape.description === shape.description),
      numerics: shape.numerics
    }
  })
}
