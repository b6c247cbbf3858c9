/**
 * A value in memory as a tree of JSON that tells apart whatever the value tells apart.
 *
 * Plain JSON values stand for themselves, but for objects with a key that begins with `~`; what JSON has no word for is an object with one such
 * key. A property that is absent is not the same as one that is `undefined` or `null`, `NaN` is not `"NaN"`, and 0 is not -0.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"

/** A value that cannot be told apart from others by what it holds; `path` is where in the whole it is. */
export class OpaqueValue extends Error {
  readonly path: string
  constructor(path: string, found: string) {
    super(`${path === "" ? "the value" : path} is ${found}, of which no key can be made`)
    this.path = path
  }
}

/** The tree of a value. Throws an `OpaqueValue` where the value holds a function, a symbol, a promise or itself. */
export const valueTree = (value: unknown, path = "", inside: ReadonlyArray<object> = []): Json => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      if (Object.is(value, -0)) return { "~number": "-0" }
      return Number.isFinite(value) ? value : { "~number": String(value) }
    case "bigint":
      return { "~bigint": String(value) }
    case "undefined":
      return { "~undefined": true }
    case "object":
      return value === null ? null : objectTree(value, path, inside)
    default:
      throw new OpaqueValue(path, `a ${typeof value}`)
  }
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

const objectTree = (value: object, path: string, above: ReadonlyArray<object>): Json => {
  if (above.includes(value)) throw new OpaqueValue(path, "part of itself")
  const inside = [...above, value]
  const at = (name: string) => (path === "" ? name : `${path}.${name}`)
  if (isPlain(value)) return fieldsTree(value, at, inside)
  const list = (items: Iterable<unknown>) => Array.from(items, (item, i) => valueTree(item, at(String(i)), inside))
  if (Array.isArray(value)) return list(value)
  if (value instanceof Date) return { "~date": String(value.getTime()) }
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    return { [`~${value.constructor.name}`]: bytes.toString("base64") }
  }
  if (value instanceof Map) return { "~map": list(value) }
  if (value instanceof Set) return { "~set": list(value) }
  if (value instanceof RegExp) return { "~regexp": String(value) }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof Error) {
    throw new OpaqueValue(path, `a ${value.constructor.name}`)
  }
  return { "~class": value.constructor?.name ?? "", "~fields": fieldsTree(value, at, inside) }
}

const fieldsTree = (value: object, at: (name: string) => string, inside: ReadonlyArray<object>): Json =>
  Object.fromEntries(
    Object.entries(value).map(([name, item]: [string, unknown]) => [
      name.startsWith("~") ? `~${name}` : name,
      valueTree(item, at(name), inside)
    ])
  )
