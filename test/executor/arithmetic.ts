/** Operators on numbers, in the process of the test, that write down each time they run. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Device } from "../../src/device/device.ts"
import * as Operator from "../../src/operator/operator.ts"
import { numberPort } from "./json-port.ts"

/** What ran, in order; a test empties it. */
export const log: Array<string> = []

const withDefault = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

export class Refused extends Schema.TaggedError<Refused>()("Refused", { message: Schema.String }) {}

export const constant = Operator.make("constant", {
  description: "A number",
  params: Schema.Struct({ value: withDefault(Schema.Number, 1), note: withDefault(Schema.Array(Schema.String), []) }),
  inputs: {},
  outputs: { n: numberPort },
  run: ({ params }) =>
    Effect.sync(() => {
      log.push(`constant ${params.value}`)
      return { n: params.value }
    })
})

export const half = Operator.make("half", {
  description: "Half, rounded down: an even number and the next give the same",
  params: Schema.Struct({}),
  inputs: { n: numberPort },
  outputs: { n: numberPort },
  run: ({ inputs }) =>
    Effect.sync(() => {
      log.push(`half ${inputs.n}`)
      return { n: Math.floor(inputs.n / 2) }
    })
})

export const sum = Operator.make("sum", {
  description: "Left and right, and what is added",
  params: Schema.Struct({ add: withDefault(Schema.Number, 0), delay: withDefault(Schema.Number, 0) }),
  inputs: { left: numberPort, right: numberPort },
  outputs: { n: numberPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    log.push(`sum ${inputs.left} ${inputs.right}`)
    if (params.delay > 0) yield* Effect.sleep(params.delay)
    return { n: inputs.left + inputs.right + params.add }
  })
})

export const refuse = Operator.make("refuse", {
  description: "Fails, dies or gives its input",
  params: Schema.Struct({ how: withDefault(Schema.Literals(["fail", "die", "pass"]), "fail") }),
  inputs: { n: numberPort },
  outputs: { n: numberPort },
  run: ({ inputs, params }) => {
    log.push("refuse")
    if (params.how === "die") return Effect.die(new TypeError("a bug"))
    return params.how === "fail"
      ? Effect.fail(new Refused({ message: "the number is odd" }))
      : Effect.succeed({ n: inputs.n })
  }
})

/** The most that ran on the device at once. */
export const device = { now: 0, most: 0 }

export const onDevice = Operator.make("onDevice", {
  description: "Uses the device for a while",
  params: Schema.Struct({ add: withDefault(Schema.Number, 0) }),
  inputs: { n: numberPort },
  outputs: { n: numberPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    yield* Device
    device.now++
    device.most = Math.max(device.most, device.now)
    log.push(`onDevice ${inputs.n}`)
    yield* Effect.sleep(5)
    device.now--
    return { n: inputs.n + params.add }
  })
})

/** What happens while `lengthOf` reads its files. */
export const meanwhile = { do: () => {} }

export const lengthOf = Operator.make("lengthOf", {
  description: "The length of all files of a folder",
  params: Schema.Struct({ folder: Schema.String }),
  inputs: {},
  outputs: { n: numberPort },
  sources: ({ folder }) =>
    Effect.try({
      try: () => fs.readdirSync(folder).map((name) => ({ name, path: path.join(folder, name) })),
      catch: () => new Operator.OperatorError({ operator: "lengthOf", place: folder, message: `no folder ${folder}` })
    }),
  run: ({ sources }) =>
    Effect.sync(() => {
      const lengths = sources.map((source) => fs.readFileSync(source.path, "utf8").length)
      meanwhile.do()
      return { n: lengths.reduce((sum, length) => sum + length, 0) }
    })
})
