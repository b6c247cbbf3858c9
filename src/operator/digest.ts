/**
 * Digests of JSON values, with a type tag so that values of different kinds never collide.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import type { Json } from "effect/Schema"

/** JSON with keys in code-unit order: equal values give equal text, others other text (NaN and the infinities, which JSON has not, too). */
export const canonicalJson = (value: Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value as { readonly [key: string]: Json }).sort(([a], [b]) =>
      a < b ? -1 : a > b ? 1 : 0
    )
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`
  }
  if (typeof value === "number" && (Object.is(value, -0) || !Number.isFinite(value))) {
    return Object.is(value, -0) ? "-0" : String(value)
  }
  return JSON.stringify(value)
}

/** SHA-256, in hex, of a tag and the canonical JSON of a value. */
export const digestOf = (tag: string, value: Json): string =>
  createHash("sha256").update(`ptmflow ${tag}\n`).update(canonicalJson(value)).digest("hex")
