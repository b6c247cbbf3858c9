/**
 * Why a key is not the key of last time: the leaves of the preimage that differ.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import type { Preimage } from "../lineage/record.ts"
import { canonicalJson } from "../operator/digest.ts"
import type { CodeTree } from "./codeClosure.ts"
import { keyOf } from "./key.ts"
import type { Reason } from "./reason.ts"

/** The changes from one preimage to another. Inputs in `pending` are not known yet. */
export const changes = (
  from: Preimage,
  to: Preimage,
  treeOf: (digest: string) => CodeTree | undefined,
  pending: ReadonlySet<string>
): ReadonlyArray<Reason> => [
  ...(from.schema === to.schema
    ? []
    : [
        {
          kind: "key-schema" as const,
          place: "key",
          message: `keys are made in another way (${from.schema} -> ${to.schema})`
        }
      ]),
  ...changed("operator", "operator", from.operator.name, to.operator.name),
  ...changed("version", `version of ${to.operator.name}`, from.operator.version, to.operator.version),
  ...(from.code === to.code ? [] : codeChanges(treeOf(from.code), treeOf(to.code), to.operator.name)),
  ...leaves(from.params, to.params, ""),
  ...numericsChange(from, to),
  ...portChanges("input", from.inputs, to.inputs),
  ...portChanges("output", from.outputs, to.outputs),
  ...Object.entries(to.inputs).flatMap(([port, { digest }]): ReadonlyArray<Reason> => {
    const old = from.inputs[port]?.digest
    return pending.has(port) || old === undefined || old === digest
      ? []
      : [
          {
            kind: "input",
            place: port,
            from: old.slice(0, 12),
            to: digest.slice(0, 12),
            message: `input ${port} changed`
          }
        ]
  }),
  ...sourceChanges(from.sources, to.sources)
]

/** Without another change it is "same code, other numerics": the result may differ in its last bits. */
const numericsChange = (from: Preimage, to: Preimage): ReadonlyArray<Reason> => {
  if (from.numerics === to.numerics) return []
  const named = (numerics: string | null) =>
    numerics !== null && numerics.length > 12 ? numerics.slice(0, 12) : numerics
  const [old, now] = [named(from.numerics), named(to.numerics)]
  const same = keyOf({ ...from, numerics: null }) === keyOf({ ...to, numerics: null })
  const words = same ? "same code, other numerics" : "device numerics"
  return [
    { kind: "numerics", place: "device", from: old, to: now, message: `${words}: ${shown(old)} -> ${shown(now)}` }
  ]
}

const changed = (kind: Reason["kind"], what: string, from: Json, to: Json): ReadonlyArray<Reason> =>
  from === to ? [] : [{ kind, place: what, from, to, message: `${what}: ${shown(from)} -> ${shown(to)}` }]

const shown = (value: Json | undefined): string => {
  if (value === undefined) return "(none)"
  const text = typeof value === "string" ? value : JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The parameters that differ, by dotted path. */
const leaves = (from: Json | undefined, to: Json | undefined, path: string): ReadonlyArray<Reason> => {
  if (isObject(from) && isObject(to)) {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])]
    return keys.flatMap((key) => leaves(from[key], to[key], path === "" ? key : `${path}.${key}`))
  }
  if (from !== undefined && to !== undefined && canonicalJson(from) === canonicalJson(to)) return []
  return [
    {
      kind: "parameter",
      place: path,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      message: `parameter ${path}: ${shown(from)} -> ${shown(to)}`
    }
  ]
}

type PortTypes = { readonly [port: string]: { readonly kind: string; readonly contract: Json } }

const portChanges = (side: string, from: PortTypes, to: PortTypes): ReadonlyArray<Reason> =>
  [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((port): ReadonlyArray<Reason> => {
    const [old, now] = [from[port], to[port]]
    const reason = (words: string): ReadonlyArray<Reason> => [
      { kind: "port", place: port, message: `${side} ${port} ${words}` }
    ]
    if (old === undefined) return reason("was added")
    if (now === undefined) return reason("was removed")
    return old.kind === now.kind && canonicalJson(old.contract) === canonicalJson(now.contract)
      ? []
      : reason("has another type")
  })

const sourceChanges = (from: Preimage["sources"], to: Preimage["sources"]): ReadonlyArray<Reason> => {
  const reason = (place: string, words: string): Reason => ({
    kind: "source",
    place,
    message: `source file ${place} ${words}`
  })
  const old = new Map(from.map(({ digest, name }) => [name, digest]))
  const now = new Map(to.map(({ digest, name }) => [name, digest]))
  const found = [
    ...[...now].flatMap(([name, digest]) => {
      const before = old.get(name)
      if (before === undefined) return [reason(name, "was added")]
      return before === digest ? [] : [reason(name, "changed")]
    }),
    ...[...old.keys()].flatMap((name) => (now.has(name) ? [] : [reason(name, "was removed")]))
  ]
  const reordered = found.length === 0 && from.some(({ name }, i) => to[i]?.name !== name)
  return reordered ? [{ kind: "source", place: "sources", message: "source files come in another order" }] : found
}

/** One reason for each module: the declarations that changed, were added or were removed. */
const codeChanges = (from: CodeTree | undefined, to: CodeTree | undefined, operator: string): ReadonlyArray<Reason> => {
  if (from === undefined || to === undefined) {
    return [{ kind: "code", place: operator, message: `code of ${operator} changed` }]
  }
  const [old, now] = [byModule(from), byModule(to)]
  const reasons = [...new Set([...now.keys(), ...old.keys()])].flatMap((module): ReadonlyArray<Reason> => {
    const [before, after] = [old.get(module) ?? new Map<string, string>(), now.get(module) ?? new Map<string, string>()]
    const edited = [...after]
      .filter(([name, digest]) => before.has(name) && before.get(name) !== digest)
      .map(([name]) => name)
    const added = [...after.keys()].filter((name) => !before.has(name))
    const removed = [...before.keys()].filter((name) => !after.has(name))
    const words = [listed("changed in", edited), listed("gained", added), listed("lost", removed)].filter(
      (each) => each !== ""
    )
    return words.length === 0 ? [] : [{ kind: "code", place: module, message: `code of ${module} ${words.join(", ")}` }]
  })
  return reasons.length > 0
    ? reasons
    : [
        {
          kind: "code",
          place: operator,
          message: `code of ${operator} is put together in another way (its imports changed)`
        }
      ]
}

const listed = (verb: string, names: ReadonlyArray<string>): string =>
  names.length === 0
    ? ""
    : `${verb} ${names.slice(0, 4).join(", ")}${names.length > 4 ? ` and ${names.length - 4} more` : ""}`

/** Digests by what people call a declaration: `function maskPrompt`. Statements of one module count as one. */
const byModule = (tree: CodeTree): ReadonlyMap<string, ReadonlyMap<string, string>> => {
  const modules = new Map<string, Map<string, string>>()
  for (const { digest, kind, module, name } of tree.declarations) {
    const declarations = modules.get(module) ?? new Map<string, string>()
    modules.set(module, declarations)
    const label =
      kind === "statement"
        ? "its statements"
        : kind === "value"
          ? name
          : kind === "file"
            ? "its bytes"
            : `${kind} ${name}`
    declarations.set(label, (declarations.get(label) ?? "") + digest)
  }
  return modules
}
