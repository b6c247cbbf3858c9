import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Operator from "../../../src/operator/operator.ts"
import { Stage } from "../../../src/operator/stage.ts"
import { numberPort, numbersPort } from "../json-port.ts"
import { score } from "./text.ts"

const withDefault = (value: number) => Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

export const read = Operator.make("read", {
  description: "The scores of the lines of a file",
  params: Schema.Struct({ file: Schema.String }),
  inputs: {},
  outputs: { numbers: numbersPort },
  sources: ({ file }) => Effect.succeed([{ path: file, name: "corpus.txt" }]),
  run: ({ sources }) =>
    Effect.map(
      Effect.promise(() => fs.readFile(sources[0]!.path, "utf8")),
      (text) => ({ numbers: text.trim().split("\n").map(score) })
    )
})

function double(value: number): number {
  return value * 2
}

export const scale = Operator.make("scale", {
  description: "Doubles and adds",
  params: Schema.Struct({ add: withDefault(0) }),
  inputs: { numbers: numbersPort },
  outputs: { numbers: numbersPort },
  run: ({ inputs, params }) => Effect.succeed({ numbers: inputs.numbers.map((each) => double(each) + params.add) })
})

function largest(values: ReadonlyArray<number>): number {
  return Math.max(...values)
}

export const summary = Operator.make("summary", {
  description: "The largest",
  params: Schema.Struct({}),
  inputs: { numbers: numbersPort },
  outputs: { number: numberPort },
  run: ({ inputs }) => Effect.succeed({ number: largest(inputs.numbers) })
})

/** A chain of digests, one a step: the state after each step depends on all before. */
export const train = Operator.make("train", {
  description: "Steps",
  params: Schema.Struct({ steps: withDefault(20), milliseconds: withDefault(1), every: withDefault(5) }),
  inputs: { number: numberPort },
  outputs: { numbers: numbersPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const saved = yield* stage.resume(numbersPort)
    let state: ReadonlyArray<number> = Option.isSome(saved) ? saved.value.value : [inputs.number]
    for (let step = Option.isSome(saved) ? saved.value.step : 0; step < params.steps; step++) {
      state = [
        ...createHash("sha256")
          .update(`${step} ${state.join(" ")}`)
          .digest()
      ]
      if (params.milliseconds > 0) yield* Effect.sleep(params.milliseconds)
      yield* stage.report({ step: step + 1, steps: params.steps, metrics: { first: state[0]! } })
      if ((step + 1) % params.every === 0) yield* stage.save(numbersPort, { step: step + 1, value: state })
    }
    return { numbers: state }
  })
})
