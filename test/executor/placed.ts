/** Operators that note where they run. What makes devices is elsewhere: it is no part of their code. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Device, type DeviceShape } from "../../src/device/device.ts"
import * as Operator from "../../src/operator/operator.ts"
import { numberPort } from "./json-port.ts"

/** What runs where, now and ever. */
export const seen = {
  running: new Map<DeviceShape | "none", number>(),
  most: new Map<DeviceShape | "none", number>(),
  places: new Map<string, DeviceShape | "none">(),
  clear: () => {
    for (const map of [seen.running, seen.most, seen.places]) map.clear()
  }
}

const noted = (name: string, on: DeviceShape | "none", milliseconds: number) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const now = (seen.running.get(on) ?? 0) + 1
      seen.running.set(on, now)
      seen.most.set(on, Math.max(seen.most.get(on) ?? 0, now))
      seen.places.set(name, on)
    }),
    () => Effect.sleep(milliseconds),
    () => Effect.sync(() => seen.running.set(on, seen.running.get(on)! - 1))
  )

const Params = Schema.Struct({ name: Schema.String, milliseconds: Schema.Number })
const inputs = { left: numberPort, right: numberPort }

export const one = Operator.make("one", {
  description: "A number",
  params: Schema.Struct({ n: Schema.Number }),
  inputs: {},
  outputs: { n: numberPort },
  run: ({ params }) => Effect.succeed(params)
})

export const off = Operator.make("off", {
  description: "Adds without a device",
  params: Params,
  inputs,
  outputs: { n: numberPort },
  run: ({ inputs, params }) =>
    Effect.as(noted(params.name, "none", params.milliseconds), { n: inputs.left + inputs.right })
})

export const on = Operator.make("on", {
  description: "Adds on a device",
  params: Params,
  inputs,
  outputs: { n: numberPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    yield* noted(params.name, yield* Device, params.milliseconds)
    return { n: inputs.left + inputs.right }
  })
})

export const greedy = Operator.make("greedy", {
  description: "Wants a GPU with 40 GB",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  usesDevice: true,
  resources: { gpu: 1, memory: 40e9 },
  run: Effect.fnUntraced(function* () {
    seen.places.set("greedy", yield* Device)
    return { n: 1 }
  })
})

/** Two stages of which each ends when the other has begun. */
export const meeting = { onDevice: Deferred.makeUnsafe<void>(), offDevice: Deferred.makeUnsafe<void>() }

export const meetsOff = Operator.make("meets-off", {
  description: "Waits for the stage beside it",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* () {
    yield* Device
    yield* Deferred.succeed(meeting.onDevice, undefined)
    yield* Deferred.await(meeting.offDevice)
    return { n: 1 }
  })
})

export const meetsOn = Operator.make("meets-on", {
  description: "Waits for the stage beside it",
  params: Schema.Struct({}),
  inputs: {},
  outputs: { n: numberPort },
  run: Effect.fnUntraced(function* () {
    yield* Deferred.succeed(meeting.offDevice, undefined)
    yield* Deferred.await(meeting.onDevice)
    return { n: 1 }
  })
})
