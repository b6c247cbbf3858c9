/**
 * The entities of an RO-Crate: a flat graph in JSON-LD, in which each has an id and is there once.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"

export interface Reference {
  readonly "@id": string
}

export interface Entity extends Reference {
  readonly "@type": string | ReadonlyArray<string>
  readonly [property: string]: unknown
}

/** In hex. */
export const sha256 = (text: string | Uint8Array): string => createHash("sha256").update(text).digest("hex")

/** A name as that of a file, and in an id: different names are different. */
export const safe = (name: string): string =>
  /^[\w-][\w.-]*$/.test(name) ? name : `${name.replace(/[^\w-]/g, "_")}-${sha256(name).slice(0, 8)}`

/** Bytes that are known by their digest alone (RFC 6920). */
export const named = (digest: string): string => `ni:///sha-256;${Buffer.from(digest, "hex").toString("base64url")}`

/** Milliseconds since 1970 as ISO 8601 has them. */
export const iso = (time: number): string => new Date(time).toISOString().replace("Z", "+00:00")

/** Each once. */
export const unique = (references: ReadonlyArray<Reference>): ReadonlyArray<Reference> => [
  ...new Map(references.map((reference) => [reference["@id"], reference])).values()
]

/** A graph that is built: `add` makes an entity or adds properties to it, `link` adds one value to a property that may have several. */
export const makeGraph = () => {
  const entities = new Map<string, Record<string, unknown>>()
  return {
    has: (id: string): boolean => entities.has(id),
    add: (
      id: string,
      type: string | ReadonlyArray<string>,
      properties: { readonly [property: string]: unknown }
    ): Reference => {
      entities.set(id, { ...entities.get(id), "@id": id, "@type": type, ...properties })
      return { "@id": id }
    },
    link: (id: string, property: string, reference: Reference): void => {
      const entity = entities.get(id)!
      const before = (entity[property] ?? []) as ReadonlyArray<Reference>
      if (before.some((each) => each["@id"] === reference["@id"])) return
      entities.set(id, { ...entity, [property]: [...before, reference] })
    },
    /** One value stands by itself, as RO-Crate recommends, and no value not at all. */
    all: (): ReadonlyArray<Entity> =>
      Array.from(entities.values(), (entity) => {
        const properties = Object.entries(entity).flatMap(([property, value]) => {
          if (!Array.isArray(value) || value.length > 1) return [[property, value]]
          return value.length === 1 ? [[property, value[0]]] : []
        })
        return Object.fromEntries(properties) as Entity
      })
  }
}

/** What a parameter's value is, as schema.org calls it. */
export const valueType = (value: unknown): string =>
  typeof value === "number"
    ? Number.isInteger(value)
      ? "Integer"
      : "Float"
    : typeof value === "boolean"
      ? "Boolean"
      : "Text"
const textOf = (value: unknown): unknown =>
  typeof value === "object" || value === undefined ? JSON.stringify(value) : value

export type CrateGraph = ReturnType<typeof makeGraph>

/** Adds parameters to a graph, and values of them. */
export const makeParameters = ({ add, has, link }: CrateGraph) => {
  const formal = (id: string, name: string, additionalType: string): Reference =>
    has(id)
      ? { "@id": id }
      : add(id, "FormalParameter", {
          name,
          additionalType,
          conformsTo: { "@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE" }
        })
  /** Says that an artifact is what a parameter stands for, and so of which type that is. */
  const exemplify = ({ "@id": id }: Reference, parameter: string): void => {
    link(id, "exampleOfWork", { "@id": parameter })
    add(parameter, "FormalParameter", { additionalType: id.startsWith("#artifact/") ? "Collection" : "File" })
  }
  const property = (id: string, name: string, value: unknown, of?: Reference): Reference =>
    add(id, "PropertyValue", { name, value: textOf(value), ...(of === undefined ? {} : { exampleOfWork: of }) })
  return { exemplify, formal, property }
}
