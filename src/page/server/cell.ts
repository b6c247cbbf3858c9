/**
 * A cell of an Arrow table as JSON, cut where it is long.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"

/** Characters of a text, and items of a list, that a cell has at most. */
export const LIMIT = 2_000
const ITEMS = 64

/** Arrow's values as JSON has them. What was cut ends with `…`. */
export const cell = (value: unknown, limit = LIMIT, items = ITEMS): Json => {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value)
  if (typeof value === "string") return value.length > limit ? `${value.slice(0, limit)}…` : value
  if (typeof value === "boolean") return value
  if (value === null || value === undefined || typeof value !== "object") return null
  if (value instanceof Date) return value.toISOString()
  if (Symbol.iterator in value) {
    const list: Array<Json> = []
    for (const item of value as Iterable<unknown>) {
      if (list.length >= items) {
        list.push("…")
        break
      }
      list.push(cell(item, limit, items))
    }
    return list
  }
  if ("toJSON" in value && typeof value.toJSON === "function") return cell(value.toJSON(), limit, items)
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, cell(item, limit, items)]))
}
