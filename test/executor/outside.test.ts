/** Operators whose code cannot be known (row 8 of the table of features). */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { plan } from "../../src/executor/plan.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { constant } from "./arithmetic.ts"

describe("an operator that was defined in no file of the project", () => {
  it.live("is refused before anything runs: its code cannot be known, so no key can be made", () =>
    Effect.gen(function* () {
      for (const file of ["", "/elsewhere/node_modules/some-package/index.js", "evalmachine.<anonymous>"]) {
        const operator = {
          ...constant,
          name: "foreign",
          definition: { ...constant.definition, calls: [{ file, line: 1, column: 1 }] }
        }
        const typed: typeof constant = operator
        const graph = yield* Pipeline.build(Pipeline.make("p", {}, (p) => ({ n: p.add(typed).n })))
        const error = yield* Effect.flip(Effect.provide(plan(graph), layer(`${yield* newFolder}/store`)))
        assert.deepInclude(error, { _tag: "PlanError", cause: "CodeError" })
        assert.include(error.message, "operator foreign was not defined in a file of the project")
      }
    }).pipe(Effect.scoped)
  )
})
