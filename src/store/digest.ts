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
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`
  if (typeof value === "object" && value !== null) {
    const object = value as { readonly [key: string]: Json }
    const keys = Object.keys(object).sort()
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key]!)}`).join(",")}}`
  }
  return Object.is(value, -0) ? "-0" : JSON.stringify(value)
}

/** The digest of a JSON value of one type: values of different types never have the same digest. */
export const digestJson = (type: string, value: Json): string => sha256(`${type}\n${canonicalJson(value)}`)
