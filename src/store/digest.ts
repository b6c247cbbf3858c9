/**
 * Digests of bytes and of JSON values.
 *
 * @since 0.1.0
 */
import { hash } from "node:crypto"
import type { Json } from "effect/Schema"

/** SHA-256 in hex. */
export const sha256 = (data: string | Uint8Array): string => hash("sha256", data, "hex")

/** One text for each JSON value: keys sorted by code unit, no spaces, numbers as JavaScript prints them. */
export const canonicalJson = (value: Json): string => {
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : JSON.stringify(value)
  let text = ""
  if (Array.isArray(value)) {
    for (const item of value as ReadonlyArray<Json>) text += `,${canonicalJson(item)}`
    return `[${text.slice(1)}]`
  }
  const object = value as { readonly [key: string]: Json }
  for (const key of Object.keys(object).sort()) text += `,${JSON.stringify(key)}:${canonicalJson(object[key]!)}`
  return `{${text.slice(1)}}`
}

/** The digest of a JSON value of one type: values of different types never have the same digest. */
export const digestJson = (type: string, value: Json): string => sha256(`${type}\n${canonicalJson(value)}`)
