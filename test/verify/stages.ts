/** Stages to verify: a source, a map over batches, a training, and one on a device; what they do can be spoiled. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { mapRows } from "../../operators/map-rows.ts"
import { Device } from "../../src/device/device.ts"
import * as Safetensors from "../../src/engine/safetensors.ts"
import { digestOf } from "../../src/operator/digest.ts"
import * as Operator from "../../src/operator/operator.ts"
import type { Port } from "../../src/operator/port.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import * as Table from "../../src/table/index.ts"
import { jsonPort } from "../executor/json-port.ts"

/** What is not in any key, so that a stage gives other bytes when it runs again; `done` counts what was. */
export const hidden = { word: "", update: 0, fails: false, done: 0, rows: 0 }

export const Line = Schema.Struct({ text: Schema.String, letters: Table.Int32List })
export const Text = Schema.Struct({ text: Schema.String })

export const lines = Operator.make("lines", {
  description: "The lines of a file",
  params: Schema.Struct({ file: Schema.String }),
  inputs: {},
  outputs: { rows: Table.of(Text) },
  sources: ({ file }) =>
    fs.existsSync(file)
      ? Effect.succeed([{ path: file, name: path.basename(file) }])
      : Effect.fail(new Operator.OperatorError({ operator: "lines", place: file, message: `there is no ${file}` })),
  run: ({ sources }) =>
    Effect.sync(() => {
      const texts = fs.readFileSync(sources[0]!.path, "utf8").split("\n")
      return {
        rows: Table.fromRows(
          Text,
          texts.map((text) => ({ text }))
        )
      }
    })
})

export const spell = mapRows("spell", {
  description: "Lines with the codes of their first letters",
  from: Text,
  to: Line,
  rows: ({ text }) => {
    hidden.rows++
    const letters = Int32Array.from(text.slice(0, 16), (letter) => letter.charCodeAt(0))
    if (text === hidden.word) letters[2] = 0
    return [{ text, letters }]
  }
})

/** Weights as one tensor in a file. */
const weightsPort: Port<Float32Array> = {
  kind: "checkpoint",
  contract: "weights",
  encode: Effect.fnUntraced(function* (values, sink) {
    const [bytes] = [Buffer.concat([...Safetensors.encode([{ name: "w", shape: [2, 3], values }])])]
    const blob = yield* sink.put(bytes)
    return { kind: "checkpoint", digest: digestOf("weights", blob.digest), parts: { "w.safetensors": blob }, meta: {} }
  }),
  decode: (artifact, source) =>
    Effect.map(source.bytes(artifact.parts["w.safetensors"]!), (bytes) =>
      Safetensors.decode(bytes).get("w")!.values.slice()
    )
}

const reportPort = jsonPort(
  Schema.Struct({ loss: Schema.Number, about: Schema.Array(Schema.String) }),
  "report",
  "report"
)

export const STEPS = 40

export const train = Operator.make("train", {
  description: "Forty updates of six weights, each on two rows",
  params: Schema.Struct({ rate: Schema.Number }),
  inputs: { rows: Table.of(Line) },
  outputs: { weights: weightsPort, report: reportPort },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const stage = yield* Stage
    const rows = yield* Table.collect(inputs.rows)
    const saved = yield* stage.resume(weightsPort)
    const weights = Option.isSome(saved) ? saved.value.value : Float32Array.from([1, 2, 3, 4, 5, 6])
    let loss = 0
    for (let step = Option.isSome(saved) ? saved.value.step : 0; step < STEPS; step++) {
      if (hidden.fails)
        return yield* new Operator.OperatorError({ operator: "train", place: "here", message: "no luck" })
      hidden.done++
      const first = (7 * step) % (rows.length - 1)
      for (let i = 0; i < 6; i++) weights[i]! += params.rate * rows[first]!.letters[i % 3]! * (step + 1)
      if (step + 1 === hidden.update) weights[4]! += 0.5
      loss = weights.reduce((sum, w) => sum + w, 0)
      yield* stage.learned({ step: step + 1, loss, rows: { rows: [[first, first + 1]] } })
      yield* stage.report({ step: step + 1, steps: STEPS, metrics: { loss } })
      yield* stage.save(weightsPort, { step: step + 1, value: weights.slice() })
      yield* Effect.yieldNow
    }
    return { weights, report: { loss, about: ["updates", `${STEPS}`] } }
  })
})

export const onDevice = Operator.make("on-device", {
  description: "The sum of weights, on a device",
  params: Schema.Struct({}),
  inputs: { weights: weightsPort },
  outputs: { report: reportPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* ({ inputs }) {
    yield* Device
    return { report: { loss: inputs.weights[0]!, about: [] } }
  })
})

const Params = Schema.Struct({
  file: Schema.String,
  rate: Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0.5)))
})

export const pipeline = Pipeline.make("verified", { params: Params }, (p, { file, rate }) => {
  const { rows } = p.add(lines, { params: { file } })
  const spelled = p.add(spell, { inputs: { rows } })
  const trained = p.add(train, { inputs: { rows: spelled.rows }, params: { rate } })
  const { report } = p.add(onDevice, { inputs: { weights: trained.weights } })
  return { weights: trained.weights, report }
})

/** The same with a training whose code is other code. */
const trainOtherwise = Operator.make("train", {
  description: "Forty updates of six weights, each on two rows",
  params: Schema.Struct({ rate: Schema.Number }),
  inputs: { rows: Table.of(Line) },
  outputs: { weights: weightsPort, report: reportPort },
  run: () => Effect.succeed({ weights: new Float32Array(6), report: { loss: 0, about: [] } })
})
export const otherwise = Pipeline.make("verified", { params: Params }, (p, { file, rate }) => {
  const { rows } = p.add(lines, { params: { file } })
  const spelled = p.add(spell, { inputs: { rows } })
  return { weights: p.add(trainOtherwise, { inputs: { rows: spelled.rows }, params: { rate } }).weights }
})

/** A pipeline of that name in which no stage trains. */
export const without = Pipeline.make("verified", { params: Params }, (p, { file }) => ({
  rows: p.add(lines, { params: { file } }).rows
}))
