/**
 * What the operators of a pipeline read that their stage keys do not hold. Plan and run refuse such a pipeline; this lists all of it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Graph } from "../pipeline/graph.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { codeOf } from "./code.ts"
import type { CodeError } from "./codeProject.ts"
import { undeclaredReads } from "./prepare.ts"
import { Read } from "./undeclared.ts"

/** One undeclared read, and the operators that reach it. */
export const Finding = Schema.Struct({ ...Read.fields, operators: Schema.Array(Schema.String) })
export type Finding = typeof Finding.Type

/** Looks at the code of every operator of a pipeline. */
export const lint = Effect.fnUntraced(function* (
  graph: Graph<unknown>
): Effect.fn.Return<ReadonlyArray<Finding>, CodeError | StoreError, Store> {
  const store = yield* Store
  const operators = [...new Set(graph.stages.map(({ operator }) => operator))]
  const code = yield* codeOf(operators, store)
  const found = new Map<string, Finding>()
  for (const operator of operators) {
    for (const read of undeclaredReads(operator, code)) {
      const place = `${read.file}:${read.line}:${read.column} ${read.what}`
      const others = found.get(place)?.operators ?? []
      found.set(place, { ...read, operators: [...new Set([...others, operator.name])] })
    }
  }
  return [...found.values()]
})
