/**
 * `ptmflow lint`: what operators read that no stage key holds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { lint as find } from "../executor/lint.ts"
import { readInWords } from "../executor/prepare.ts"
import type { Setting } from "../pipeline/graph.ts"
import { layer as storeLayer } from "../store/store.ts"
import { loadGraph } from "./load.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { count } from "./render/quantity.ts"

/** Prints the findings; where there are any, the exit code is 1. */
export const lint = Effect.fnUntraced(function* (input: {
  readonly pipeline: string
  readonly set: ReadonlyArray<Setting>
  readonly store: string
  readonly json: boolean
}) {
  const graph = yield* loadGraph(input.pipeline, input.set)
  const findings = yield* Effect.provide(find(graph), storeLayer(input.store))
  if (findings.length > 0) process.exitCode = 1
  if (input.json) return yield* printJson(findings)
  const { style } = viewOf(process.stdout)
  const operators = new Set(graph.stages.map(({ operator }) => operator)).size
  yield* printLines(
    findings.length === 0
      ? [`${count(operators, "operator")}: nothing is read that stage keys do not hold`]
      : [
          ...findings.map((each) => `${readInWords(each)}  ${style.faint(each.operators.join(", "))}`),
          "",
          "Take it in as a parameter, an input or a source file; or, where it is in no result, say so on the line or above it:",
          `  // ptmflow-allow ${findings[0]!.kind}: why`
        ]
  )
})
