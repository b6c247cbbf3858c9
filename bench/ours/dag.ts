/** The pipeline of the group `dag`: `ptmflow run bench/ours/dag.ts --set folder=... --set stages=1000`, where `folder` has a source file for each leaf. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import type { Output } from "../../src/pipeline/output.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { sha256 } from "../../src/store/digest.ts"
import { dagOf, endsOf } from "../dag.ts"
import { text } from "../text-port.ts"

const leaf = Operator.make("leaf", {
  description: "Reads a file",
  params: Schema.Struct({ folder: Schema.String, name: Schema.String }),
  inputs: {},
  outputs: { text },
  sources: ({ folder, name }) => Effect.succeed([{ name, path: join(folder, `${name}.txt`) }]),
  run: ({ sources }) => Effect.sync(() => ({ text: sha256(readFileSync(sources[0]!.path)) }))
})

const params = Schema.Struct({ name: Schema.String })
const one = Operator.make("one", {
  description: "Digests a text",
  params,
  inputs: { a: text },
  outputs: { text },
  run: ({ inputs: { a }, params: { name } }) => Effect.succeed({ text: sha256(`${name} ${a}`) })
})
const two = Operator.make("two", {
  description: "Digests two texts",
  params,
  inputs: { a: text, b: text },
  outputs: { text },
  run: ({ inputs: { a, b }, params: { name } }) => Effect.succeed({ text: sha256(`${name} ${a} ${b}`) })
})
const three = Operator.make("three", {
  description: "Digests three texts",
  params,
  inputs: { a: text, b: text, c: text },
  outputs: { text },
  run: ({ inputs: { a, b, c }, params: { name } }) => Effect.succeed({ text: sha256(`${name} ${a} ${b} ${c}`) })
})

export default Pipeline.make(
  "dag",
  { params: Schema.Struct({ folder: Schema.String, stages: Schema.Int }) },
  (p, { folder, stages }) => {
    const dag = dagOf(stages)
    const made = new Map<string, Output<string, never>>()
    for (const { name, parents } of dag) {
      const [a, b, c] = parents.map((parent) => made.get(parent)!)
      const { text } =
        a === undefined
          ? p.add(leaf, { name, params: { folder, name } })
          : b === undefined
            ? p.add(one, { name, inputs: { a }, params: { name } })
            : c === undefined
              ? p.add(two, { name, inputs: { a, b }, params: { name } })
              : p.add(three, { name, inputs: { a, b, c }, params: { name } })
      made.set(name, text)
    }
    return Object.fromEntries(endsOf(dag).map((name) => [name, made.get(name)!]))
  }
)
