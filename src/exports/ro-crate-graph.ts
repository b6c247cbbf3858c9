/**
 * The entities of an RO-Crate: a flat graph in JSON-LD, in which each has an id and is there once.
 *
 * @since 0.1.0
 */

export interface Reference {
  readonly "@id": string
}

export interface Entity extends Reference {
  readonly "@type": string | ReadonlyArray<string>
  readonly [property: string]: unknown
}

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
