/**
 * Why a key is not the key of last time: the leaves of the preimage that differ.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import type { Reason } from "../lineage/reason.ts"
import type { Preimage } from "../lineage/record.ts"
import { canonicalJson } from "../operator/digest.ts"
import type { CodeHistory } from "./code.ts"
import type { CodeTree } from "./codeClosure.ts"
import { keyOf } from "./key.ts"
import type { PackageSet } from "./packages.ts"

/** The changes from one preimage to another. Inputs in `pending` are not known yet. */
export const changes = (
  from: Preimage,
  to: Preimage,
  code: CodeHistory,
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
  ...(from.code === to.code ? [] : codeChanges(code.tree(from.code), code.tree(to.code), to.operator.name)),
  ...(from.packages === to.packages ? [] : packageChanges(code.packages(from.packages), code.packages(to.packages))),
  ...leaves(from.params, to.params, "").map(
    (leaf): Reason => ({ kind: "parameter", place: leaf.path, ...ends(leaf), message: `parameter ${inWords(leaf)}` })
  ),
  ...leaves(from.seeds?.values ?? {}, to.seeds?.values ?? {}, "").map(
    (leaf): Reason => ({
      kind: "seed",
      place: leaf.path,
      ...ends(leaf),
      message: leaf.path === "seed" ? inWords(leaf) : `seed ${inWords(leaf)}`
    })
  ),
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
            message: `input ${port}: ${old.slice(0, 12)} -> ${digest.slice(0, 12)}`
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

/** A value as people read it; what JSON has no word for is in the tree by its own (see `valueTree`). */
const shown = (value: Json | undefined): string => {
  if (value === undefined) return "(absent)"
  const text = typeof value === "string" ? value : (special(value) ?? JSON.stringify(value))
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const special = (value: Json): string | undefined => {
  if (!isObject(value)) return undefined
  if (typeof value["~number"] === "string") return value["~number"]
  if (typeof value["~bigint"] === "string") return `${value["~bigint"]}n`
  return value["~undefined"] === true ? "undefined" : undefined
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A leaf that differs, by dotted path; one side is undefined where it is not there. */
interface Leaf {
  readonly path: string
  readonly from: Json | undefined
  readonly to: Json | undefined
}

/** The smallest parts in which two trees differ. Lists differ as a whole unless they are of one length. */
const leaves = (from: Json | undefined, to: Json | undefined, path: string): ReadonlyArray<Leaf> => {
  const [old, now] = [partsOf(from), partsOf(to)]
  if (old !== undefined && now !== undefined && Array.isArray(from) === Array.isArray(to)) {
    const keys = [...new Set([...Object.keys(old), ...Object.keys(now)])]
    if (!Array.isArray(from) || Object.keys(old).length === Object.keys(now).length) {
      return keys.flatMap((key) => leaves(old[key], now[key], path === "" ? key : `${path}.${key}`))
    }
  }
  if (from !== undefined && to !== undefined && canonicalJson(from) === canonicalJson(to)) return []
  return [{ path, from, to }]
}

const partsOf = (value: Json | undefined): { readonly [key: string]: Json } | undefined => {
  if (Array.isArray(value)) return Object.fromEntries(value.map((item: Json, i) => [String(i), item]))
  return isObject(value) && special(value) === undefined ? value : undefined
}

const inWords = ({ from, path, to }: Leaf): string => `${path}: ${shown(from)} -> ${shown(to)}`

const ends = ({ from, to }: Leaf) => ({ ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) })

type PortTypes = { readonly [port: string]: { readonly kind: string; readonly contract: Json } }

const portChanges = (side: string, from: PortTypes, to: PortTypes): ReadonlyArray<Reason> =>
  [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((port): ReadonlyArray<Reason> => {
    const [old, now] = [from[port], to[port]]
    const reason = (words: string, leaf?: Leaf): Reason => ({
      kind: "port",
      place: port,
      ...(leaf === undefined ? {} : ends(leaf)),
      message: `${side} ${port} ${words}`
    })
    if (old === undefined) return [reason("was added")]
    if (now === undefined) return [reason("was removed")]
    if (old.kind !== now.kind) {
      return [reason(`is a ${now.kind} and was a ${old.kind}`, { path: "kind", from: old.kind, to: now.kind })]
    }
    return leaves(named(old.contract), named(now.contract), "").map((leaf) =>
      reason(`has another type: ${inWords({ ...leaf, path: leaf.path || "type" })}`, leaf)
    )
  })

/** A table's columns, `[[name, type], ...]`, by name; where only their order differs that is what is said. */
const named = (contract: Json): Json => {
  const pairs = Array.isArray(contract) ? (contract as ReadonlyArray<Json>) : []
  const isPair = (pair: Json): pair is [string, Json] =>
    Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string"
  if (pairs.length === 0 || !pairs.every(isPair)) return contract
  return { ...Object.fromEntries(pairs), "(order)": pairs.map(([name]) => name).join(", ") }
}

/** What is there now and was not, or is another. */
const setChanges = (
  from: ReadonlyMap<string, string>,
  to: ReadonlyMap<string, string>
): ReadonlyArray<{ readonly name: string; readonly from: string | undefined; readonly to: string | undefined }> =>
  [...new Set([...to.keys(), ...from.keys()])].flatMap((name) => {
    const [old, now] = [from.get(name), to.get(name)]
    return old === now ? [] : [{ name, from: old, to: now }]
  })

const sourceChanges = (from: Preimage["sources"], to: Preimage["sources"]): ReadonlyArray<Reason> => {
  const byName = (sources: Preimage["sources"]) => new Map(sources.map(({ digest, name }) => [name, digest]))
  const found = setChanges(byName(from), byName(to)).map(({ from, name, to }): Reason => {
    const words = from === undefined ? "was added" : to === undefined ? "was removed" : "changed"
    const digests = { path: name, from: from?.slice(0, 12), to: to?.slice(0, 12) }
    return { kind: "source", place: name, ...ends(digests), message: `source file ${name} ${words}` }
  })
  const reordered = found.length === 0 && from.some(({ name }, i) => to[i]?.name !== name)
  return reordered ? [{ kind: "source", place: "sources", message: "source files come in another order" }] : found
}

/** `package effect: 4.1.0 -> 4.1.1`; of one version with other contents, the digests. */
const packageChanges = (from: PackageSet | undefined, to: PackageSet | undefined): ReadonlyArray<Reason> => {
  const unknown: Reason = { kind: "package", place: "packages", message: "packages that its code uses changed" }
  if (from === undefined || to === undefined) return [unknown]
  const byName = ({ packages }: PackageSet, part: "integrity" | "version") => {
    const found = new Map<string, string>()
    for (const each of packages) found.set(each.name, [found.get(each.name), each[part]].filter((x) => x).join(" and "))
    return found
  }
  const versions = setChanges(byName(from, "version"), byName(to, "version"))
  const seen = new Set(versions.map(({ name }) => name))
  const contents = setChanges(byName(from, "integrity"), byName(to, "integrity")).filter(({ name }) => !seen.has(name))
  const reasons = [...versions, ...contents].map(({ from, name, to }): Reason => {
    const leaf = { path: name, from, to }
    return { kind: "package", place: name, ...ends(leaf), message: `package ${inWords(leaf)}` }
  })
  return reasons.length > 0 ? reasons : [unknown]
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
