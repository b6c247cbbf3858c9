/**
 * `ptmflow diff`: how two artifacts differ.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ArtifactDiff, diff as diffOf } from "../executor/diff.ts"
import { resolve } from "../lineage/ledger.ts"
import { rangesText } from "../operator/row-ranges.ts"
import { layer as storeLayer } from "../store/store.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { due } from "./plan.ts"
import { diffLines } from "./render/diff.ts"

const rowsAsText = ({ rows }: ArtifactDiff) =>
  rows === undefined ? {} : { rows: rows.map((each) => ({ ...each, rows: rangesText(each.rows) })) }

/** Prints the fewest differences that explain that the artifacts are not the same, and their metrics. */
export const diff = Effect.fnUntraced(
  function* (input: {
    readonly first: string
    readonly second: string
    readonly asOf: Option.Option<string>
    readonly store: string
    readonly json: boolean
  }) {
    const a = yield* resolve(input.first, { asOf: Option.getOrUndefined(input.asOf) })
    const b = yield* resolve(input.second)
    const found = yield* diffOf(a, b)
    yield* input.json
      ? printJson({ format: 1, a, b, ...found, ...rowsAsText(found) })
      : printLines(diffLines(a, b, found, viewOf(process.stdout)))
    if (!found.same) process.exitCode = due
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
