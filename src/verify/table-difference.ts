/**
 * The first row and column in which two tables differ. Neither is in memory whole.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { differenceAt, type FirstDifference } from "../lineage/verified.ts"
import type { ArtifactError } from "../operator/artifact.ts"
import * as Ipc from "../table/ipc.ts"

type Row = { readonly [column: string]: unknown }

/** Values as text in which whatever is not the same is not the same: a NaN is one, and 0 is not -0. */
const textOf = (value: unknown): string => {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value)
  if (typeof value === "bigint") return `${value}n`
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "undefined"
  if (value instanceof Date) return value.toISOString()
  if (Symbol.iterator in value) return `[${Array.from(value as Iterable<unknown>, textOf).join(", ")}]`
  const plain = "toJSON" in value && typeof value.toJSON === "function" ? (value.toJSON() as object) : value
  return `{${Object.entries(plain)
    .map(([name, each]) => `${name}: ${textOf(each)}`)
    .join(", ")}}`
}

/** The first difference of two values of a column: of lists, in which place. */
const valueDifference = (part: string, place: string, a: unknown, b: unknown): FirstDifference | undefined => {
  if (textOf(a) === textOf(b)) return undefined
  const isList = (value: unknown): value is Iterable<unknown> =>
    typeof value === "object" && value !== null && Symbol.iterator in value
  if (isList(a) && isList(b)) {
    const [old, now] = [[...a], [...b]]
    const at = Array.from({ length: Math.max(old.length, now.length) }).findIndex(
      (_, i) => i >= old.length || i >= now.length || textOf(old[i]) !== textOf(now[i])
    )
    return differenceAt(part, `${place}, value ${at}`, plain(old[at]), plain(now[at]))
  }
  return differenceAt(part, place, plain(a), plain(b))
}

const plain = (value: unknown): unknown =>
  value === undefined || value === null || ["number", "string", "boolean"].includes(typeof value)
    ? value
    : textOf(value)

const rowsIn = (file: string, part: string): Stream.Stream<Row, ArtifactError> =>
  Ipc.read(file, part).pipe(
    Stream.flatMap((batch) => Stream.fromIterable(batch as Iterable<Row & { toJSON: () => Row }>)),
    Stream.map((row) => (row as unknown as { readonly toJSON: () => Row }).toJSON())
  )

/** Compares two Arrow files row by row; undefined where all rows are the same. */
export const tableDifference = Effect.fnUntraced(function* (
  part: string,
  a: string,
  b: string
): Effect.fn.Return<FirstDifference | undefined, ArtifactError> {
  const schemas = yield* Effect.forEach([a, b], (file) => Ipc.schema(file, part))
  const [old, now] = schemas.map(({ fields }) => fields.map(({ name, type }) => `${name}: ${type}`).join(", "))
  if (old !== now) return differenceAt(part, "columns", old, now)
  const end = Symbol("end")
  const ended = (file: string): Stream.Stream<Row | typeof end, ArtifactError> =>
    Stream.concat(rowsIn(file, part), Stream.make(end))
  const first = yield* Stream.zip(ended(a), ended(b)).pipe(
    Stream.zipWithIndex,
    Stream.map(([[was, is], row]): FirstDifference | undefined => {
      if (was === end || is === end) {
        if (was === is) return undefined
        const [recorded, found] = [was, is].map((each) => (each === end ? undefined : textOf(each)))
        return differenceAt(part, `row ${row}`, recorded, found)
      }
      for (const column of Object.keys(was)) {
        const found = valueDifference(part, `row ${row}, column ${column}`, was[column], is[column])
        if (found !== undefined) return found
      }
      return undefined
    }),
    Stream.filter((found) => found !== undefined),
    Stream.runHead
  )
  return first._tag === "Some" ? first.value : undefined
})
