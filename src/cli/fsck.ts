/**
 * `ptmflow fsck`: whether a store is whole.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { check, type Problem } from "../lineage/check.ts"
import { existingLayer } from "../store/store.ts"
import { program } from "./invocation.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { bytes, count } from "./render/quantity.ts"
import type { View } from "./render/view.ts"

const problemLine = ({ kind, message, place, repaired }: Problem, { style }: View): string => {
  const sign = repaired ? style.good("✓") : kind === "damage" ? style.bad("✗") : style.due("!")
  return ` ${sign} ${place}: ${message}${repaired ? " (repaired)" : ""}`
}

/** Prints what was found; the exit code is 1 if there is damage that was not repaired. */
export const fsck = Effect.fnUntraced(
  function* (input: {
    readonly store: string
    readonly repair: boolean
    readonly quick: boolean
    readonly json: boolean
  }) {
    const checked = yield* check(input)
    const { blobs, problems, runs, stages } = checked
    const damage = problems.filter(({ kind, repaired }) => kind === "damage" && !repaired)
    if (damage.length > 0) process.exitCode = 1
    if (input.json) return yield* printJson(checked)
    const view = viewOf(process.stdout)
    const what = `${count(runs, "run")}, ${count(stages, "stage")}, ${count(blobs, "blob")} of ${bytes(checked.bytes)}`
    const read = input.quick ? ", not read" : ""
    const open = problems.some(({ repaired }) => !repaired)
    yield* printLines([
      `${input.store}: ${what}${read}: ${problems.length === 0 ? "all is whole" : count(problems.length, "problem")}`,
      ...problems.map((problem) => problemLine(problem, view)),
      ...(open && !input.repair ? [`${program()} fsck --repair puts damaged files aside and removes leftovers`] : [])
    ])
  },
  (effect, { store }) => Effect.provide(effect, existingLayer(store))
)
