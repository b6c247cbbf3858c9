/**
 * `ptmflow seen`: which checkpoints saw a row, and which rows a checkpoint saw.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { resolve } from "../lineage/ledger.ts"
import { rowSeen, type Sighting, seenBy, seenOnlyBy } from "../lineage/seen.ts"
import { rangesText } from "../operator/row-ranges.ts"
import { layer as storeLayer } from "../store/store.ts"
import { CommandError } from "./failure.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { rowSeenLines, seenTableLines } from "./render/seen.ts"

/** Prints who saw a row, or what was seen. */
export const seen = Effect.fnUntraced(
  function* (input: {
    readonly artifact: string
    readonly row: Option.Option<number>
    readonly not: Option.Option<string>
    readonly asOf: Option.Option<string>
    readonly store: string
    readonly json: boolean
  }) {
    const asOf = Option.getOrUndefined(input.asOf)
    const made = yield* resolve(input.artifact, { asOf })
    const view = viewOf(process.stdout)
    const name = `${made.stage}.${made.port}`
    if (Option.isSome(input.row)) {
      if (Option.isSome(input.not)) {
        const message = "--not asks of two checkpoints, and a row is asked of a table: leave one of them out"
        return yield* new CommandError({ place: "", message, next: "" })
      }
      const found = yield* Effect.scoped(rowSeen(made, input.row.value))
      return yield* input.json
        ? printJson({
            format: 1,
            ...found,
            became: found.became.map(asText),
            checkpoints: found.checkpoints.map(sighting)
          })
        : printLines(rowSeenLines(found, view))
    }
    if (made.artifact.kind !== "checkpoint") {
      const message = `${name} is a ${made.artifact.kind}: say which row of it`
      return yield* new CommandError({ place: "", message, next: `ptmflow seen ${input.artifact} 0` })
    }
    const other = Option.isSome(input.not) ? yield* resolve(input.not.value) : undefined
    const tables = yield* other === undefined ? seenBy(made) : seenOnlyBy(made, other)
    yield* input.json
      ? printJson({ format: 1, of: made, ...(other === undefined ? {} : { not: other }), tables: tables.map(asText) })
      : printLines(seenTableLines(made, other, tables, view))
  },
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)

type Ranges = Parameters<typeof rangesText>[0]

const asText = <A extends { readonly rows: Ranges }>({ rows, ...table }: A) => ({ ...table, rows: rangesText(rows) })

const sighting = ({ learned, ...rest }: Sighting) => ({
  ...rest,
  learned: learned.map(({ rows, updates, ...more }) => ({
    ...more,
    ...(rows === undefined ? {} : { rows: rangesText(rows) }),
    ...(updates === undefined ? {} : { updates: rangesText(updates) })
  }))
})
