/**
 * Digests of JSON values, with a type tag so that values of different kinds never collide.
 *
 * @since 0.1.0
 */
import { hash } from "node:crypto"
import type { Json } from "effect/Schema"

/** JSON with keys in code-unit order: equal values give equal text, others other text (NaN and the infinities, which JSON has not, too). */
export const canonicalJson = (value: Json): string => {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value)
    case "number":
      return Object.is(value, -0) ? "-0" : String(value)
    case "boolean":
      return value ? "true" : "false"
    default:
      return value === null ? "null" : Array.isArray(value) ? listText(value) : objectText(value as JsonObject)
  }
}

type JsonObject = { readonly [key: string]: Json }

const listText = (items: ReadonlyArray<Json>): string => {
  const known = shared.get(items)
  if (known !== undefined) return known
  let text = "["
  for (let i = 0; i < items.length; i++) text += i === 0 ? canonicalJson(items[i]!) : `,${canonicalJson(items[i]!)}`
  return `${text}]`
}

/** Texts of objects that are in many values. */
const shared = new WeakMap<object, string>()

/** Remembers the text of an object that never changes: it is in many values. Gives the object. */
export const sharing = <A extends Json>(value: A): A => {
  if (typeof value === "object" && value !== null) shared.set(value, canonicalJson(value))
  return value
}

const objectText = (fields: JsonObject): string => {
  const known = shared.get(fields)
  if (known !== undefined) return known
  let text = "{"
  for (const key of Object.keys(fields).sort())
    text += `${text === "{" ? "" : ","}${quoted(key)}:${canonicalJson(fields[key]!)}`
  return `${text}}`
}

/** Names are few and come again and again. */
const names = new Map<string, string>()

const quoted = (key: string): string => {
  let text = names.get(key)
  if (text === undefined) {
    text = JSON.stringify(key)
    if (names.size < 1000) names.set(key, text)
  }
  return text
}

/** SHA-256, in hex, of a tag and the canonical JSON of a value. */
export const digestOf = (tag: string, value: Json): string =>
  hash("sha256", `ptmflow ${tag}\n${canonicalJson(value)}`, "hex")
