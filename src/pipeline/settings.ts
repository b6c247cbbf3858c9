/**
 * Parameters set from outside: `ppo.learningRate=1e-4` into the JSON that a schema decodes.
 *
 * @since 0.1.0
 */
import { isDeepStrictEqual } from "node:util"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type { ParamsSchema } from "../operator/operator.ts"
import { OpaqueValue, valueTree } from "../operator/value-tree.ts"
import type { Setting, StageNode } from "./graph.ts"
import { nearest } from "./nearest.ts"
import { PipelineError } from "./pipelineError.ts"

/** Decodes with every default filled in; a key that the schema does not know is an error. */
export const decodeStrictly = <A>(schema: ParamsSchema<A>, json: unknown): Effect.Effect<A, Schema.SchemaError> =>
  Schema.decodeUnknownEffect(schema)(json, { onExcessProperty: "error", errors: "all" })

/** Decoded parameters as JSON: what is equal decoded is equal here, whatever was left out. */
const paramsToJson = <A>(schema: ParamsSchema<A>, params: A): Schema.Json =>
  Schema.encodeUnknownSync(jsonCodec(schema))(params)

/** The decoded parameters that `paramsToJson` wrote. */
export const paramsFromJson = <A>(schema: ParamsSchema<A>, json: Schema.Json): Effect.Effect<A, Schema.SchemaError> =>
  Schema.decodeUnknownEffect(jsonCodec(schema))(json) as Effect.Effect<A, Schema.SchemaError>

/**
 * Decoded parameters as JSON and as they enter a key, those that are seeds apart. Throws an `OpaqueValue` where a key cannot be made of them, or where what is read back from
 * the JSON is not what was written (`undefined` and `null` in one optional field).
 */
export const paramsTrees = <A>(
  schema: ParamsSchema<A>,
  params: A,
  seeds: ReadonlyArray<string>
): Pick<StageNode, "paramsJson" | "paramsTree" | "seedsTree"> => {
  const whole = valueTree(params)
  const paramsJson = paramsToJson(schema, params)
  if (!isDeepStrictEqual(whole, paramsJson)) {
    const read = valueTree(Schema.decodeUnknownSync(jsonCodec(schema))(paramsJson))
    if (!isDeepStrictEqual(read, whole)) {
      throw new OpaqueValue("", "another value when it is written as JSON and read back")
    }
  }
  const fields = isFields(whole) ? Object.entries(whole) : []
  const seedsTree = Object.fromEntries(fields.filter(([name]) => seeds.includes(name)))
  const others = () => Object.fromEntries(fields.filter(([name]) => !seeds.includes(name)))
  return { paramsJson, paramsTree: Object.keys(seedsTree).length === 0 ? whole : others(), seedsTree }
}

const isFields = (tree: Schema.Json): tree is { readonly [name: string]: Schema.Json } =>
  typeof tree === "object" && tree !== null && !Array.isArray(tree)

const jsonCodecs = new WeakMap<object, Schema.Codec<unknown, Schema.Json>>()

const jsonCodec = (schema: ParamsSchema<never> | ParamsSchema): Schema.Codec<unknown, Schema.Json> => {
  let codec = jsonCodecs.get(schema)
  if (codec === undefined) {
    codec = Schema.toCodecJson(Schema.toType(schema as Schema.Codec<unknown, unknown>)) as Schema.Codec<
      unknown,
      Schema.Json
    >
    jsonCodecs.set(schema, codec)
  }
  return codec
}

/** The parameters of a pipeline from its settings, which name parameters by dotted path; a later one wins. */
export const decodeParams = Effect.fnUntraced(function* <A>(
  pipeline: string,
  schema: ParamsSchema<A>,
  settings: ReadonlyArray<Setting>
): Effect.fn.Return<{ readonly params: A; readonly json: Schema.Json }, PipelineError> {
  const root = SchemaAST.toEncoded(schema.ast)
  const given: JsonObject = {}
  for (const { path, value } of settings) {
    const keys = path.split(".")
    const leaf = findLeaf(root, keys)
    if (leaf === undefined) {
      return yield* new PipelineError({ pipeline, place: path, message: unknownPath(root, path) })
    }
    const refused = setAt(given, keys, parseValue(leaf, value))
    if (refused !== undefined) {
      return yield* new PipelineError({
        pipeline,
        place: path,
        message: `cannot set ${path}: ${refused} was set before to a value that has no parts`
      })
    }
  }
  const params = yield* decodeStrictly(schema, given).pipe(
    Effect.mapError(
      (error) =>
        new PipelineError({
          pipeline,
          place: settings.length === 0 ? "parameters" : settings.map((s) => `${s.path}=${s.value}`).join(" "),
          message: error.message
        })
    )
  )
  return { params, json: paramsToJson(schema, params) }
})

type JsonObject = { [key: string]: unknown }

const setAt = (into: JsonObject, keys: ReadonlyArray<string>, value: unknown): string | undefined => {
  let at = into
  for (let i = 0; i < keys.length - 1; i++) {
    const key = keys[i] as string
    if (!Object.hasOwn(at, key)) at[key] = {}
    const next = at[key]
    if (typeof next !== "object" || next === null) return keys.slice(0, i + 1).join(".")
    at = next as JsonObject
  }
  at[keys[keys.length - 1] as string] = value
  return undefined
}

const parseValue = (leaf: ReadonlyArray<SchemaAST.AST>, text: string): unknown => {
  if (leaf.length > 0 && leaf.every(isText)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const isText = (ast: SchemaAST.AST): boolean => {
  switch (ast._tag) {
    case "String":
    case "TemplateLiteral":
      return true
    case "Literal":
      return typeof ast.literal === "string"
    case "Undefined":
      return true
    case "Union":
      return ast.types.every(isText)
    case "Suspend":
      return isText(ast.thunk())
    default:
      return false
  }
}

/** The schemas that a path may have; none of them means any value, undefined means that there is no such path. */
const findLeaf = (root: SchemaAST.AST, keys: ReadonlyArray<string>): ReadonlyArray<SchemaAST.AST> | undefined => {
  let at: ReadonlyArray<SchemaAST.AST> = [root]
  for (const key of keys) {
    const next: Array<SchemaAST.AST> = []
    for (const objects of at.flatMap(objectsOf)) {
      const property = objects.propertySignatures.find((p) => p.name === key)
      if (property !== undefined) next.push(property.type)
      else next.push(...objects.indexSignatures.map((signature) => signature.type))
    }
    if (next.length === 0) return undefined
    at = next
  }
  return at
}

const objectsOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.Objects> => {
  switch (ast._tag) {
    case "Objects":
      return [ast]
    case "Union":
      return ast.types.flatMap(objectsOf)
    case "Suspend":
      return objectsOf(ast.thunk())
    default:
      return []
  }
}

/** Every dotted path of a schema's parameters, groups left out; a recursive schema is followed to depth 8. */
const knownPaths = (ast: SchemaAST.AST, prefix = "", depth = 0): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (const objects of objectsOf(ast)) {
    for (const { name, type } of objects.propertySignatures) {
      const path = prefix === "" ? String(name) : `${prefix}.${String(name)}`
      const below = depth < 8 ? knownPaths(type, path, depth + 1) : []
      if (below.length === 0) found.add(path)
      for (const each of below) found.add(each)
    }
  }
  return [...found]
}

const unknownPath = (root: SchemaAST.AST, path: string): string => {
  const known = knownPaths(root)
  if (known.length === 0) return `there is no parameter ${path}: the pipeline has none`
  const near = nearest(path, known)
  return near.length > 0
    ? `there is no parameter ${path}; did you mean ${near.join(" or ")}?`
    : `there is no parameter ${path}; there are ${known.join(", ")}`
}
