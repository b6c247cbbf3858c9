/**
 * What an operator's code is: the declarations that it reaches, across modules.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { digestOf } from "../operator/digest.ts"
import type { Declaration, Foreign, ModuleCode } from "./codeModule.ts"

/** One declaration that counts. `module` is for people to read: it is no part of the digest. */
export const CodeDeclaration = Schema.Struct({
  module: Schema.String,
  name: Schema.String,
  kind: Schema.Literals(["function", "class", "value", "statement", "file"]),
  digest: Schema.String
})

/** All declarations that an operator reaches. Two trees of one digest differ at most in the names of their modules. */
export const CodeTree = Schema.Struct({ digest: Schema.String, declarations: Schema.Array(CodeDeclaration) })
export type CodeTree = typeof CodeTree.Type

/** A module of the project: its code, or only its digest where it is no JavaScript; and where its imports lead. */
export interface ProjectModule {
  readonly name: string
  readonly code: ModuleCode | undefined
  readonly digest: string
  /** Paths of project modules by specifier; others are packages. */
  readonly resolved: ReadonlyMap<string, string>
  /** Modules loaded by `import()` or `require`: all that they export counts. */
  readonly dynamic: ReadonlyArray<string>
}

/** Where to start: one export of a module, or (undefined) all of it. */
export interface Root {
  readonly path: string
  readonly exported: string | undefined
}

type Target = { readonly path: string; readonly index: number } | string

/**
 * Follows references from the roots. Declarations are numbered in the order in which they are found, so the digest depends on what is declared
 * and on what refers to what, and not on where files are or what they are called.
 */
export const codeTree = (modules: ReadonlyMap<string, ProjectModule>, roots: ReadonlyArray<Root>): CodeTree => {
  const numbers = new Map<string, number>()
  const found: Array<{ readonly path: string; readonly index: number }> = []
  const loaded = new Set<string>()

  const numberOf = (target: Target): number | string => {
    if (typeof target === "string") return target
    const id = `${target.index} ${target.path}`
    const known = numbers.get(id)
    if (known !== undefined) return known
    numbers.set(id, found.length)
    found.push(target)
    return found.length - 1
  }

  /** Loading a module runs its statements and loads what it imports. */
  const load = (path: string): ReadonlyArray<number | string> => {
    if (loaded.has(path)) return []
    loaded.add(path)
    const module = modules.get(path)
    if (module === undefined) return []
    if (module.code === undefined) return [numberOf({ path, index: -1 })]
    const { declarations, specifiers } = module.code
    return [
      ...specifiers.flatMap((specifier) => load(module.resolved.get(specifier) ?? "")),
      ...module.dynamic.flatMap((each) => all(each).map(numberOf)),
      ...declarations.flatMap((each, index) => (each.kind === "statement" ? [numberOf({ path, index })] : []))
    ]
  }

  const all = (path: string): ReadonlyArray<Target> => {
    const code = modules.get(path)?.code
    if (code === undefined) return [{ path, index: -1 }]
    return [...exportNames(path, new Set())].flatMap((name) => exported(path, name, new Set()))
  }

  const exportNames = (path: string, seen: Set<string>): ReadonlySet<string> => {
    const module = modules.get(path)
    if (module?.code === undefined || seen.has(path)) return new Set()
    seen.add(path)
    const { exports, stars } = module.code
    return new Set([
      ...exports.keys(),
      ...stars.flatMap((star) =>
        [...exportNames(module.resolved.get(star) ?? "", seen)].filter((name) => name !== "default")
      )
    ])
  }

  const foreign = (
    path: string,
    { name, specifier }: Foreign,
    member: string | undefined,
    seen: Set<string>
  ): ReadonlyArray<Target> => {
    const target = modules.get(path)?.resolved.get(specifier)
    if (target === undefined) return [`${specifier}#${name === "*" ? (member ?? "*") : name}`]
    if (name !== "*") return exported(target, name, seen)
    return member === undefined ? all(target) : exported(target, member, seen)
  }

  const exported = (path: string, name: string, seen: Set<string>): ReadonlyArray<Target> => {
    const id = `${name} ${path}`
    const module = modules.get(path)
    if (module === undefined || seen.has(id)) return []
    seen.add(id)
    if (module.code === undefined) return [{ path, index: -1 }]
    const { exports, stars } = module.code
    const direct = exports.get(name)
    if (typeof direct === "string") return binding(path, direct, undefined, seen)
    if (direct !== undefined) return foreign(path, direct, undefined, seen)
    return stars.flatMap((specifier) => {
      const target = module.resolved.get(specifier)
      return target === undefined ? [`${specifier}#${name}`] : exported(target, name, seen)
    })
  }

  const binding = (
    path: string,
    name: string,
    member: string | undefined,
    seen: Set<string>
  ): ReadonlyArray<Target> => {
    const code = modules.get(path)?.code
    const index = code?.locals.get(name)
    if (index !== undefined) return [{ path, index }]
    const imported = code?.imports.get(name)
    return imported === undefined ? [] : foreign(path, imported, member, seen)
  }

  const starts = roots.flatMap(({ exported: name, path }): ReadonlyArray<Target> => {
    if (name !== undefined) return exported(path, name, new Set())
    return (modules.get(path)?.code?.declarations ?? []).map((_, index) => ({ path, index }))
  })
  const graph: Array<Schema.Json> = [starts.map(numberOf)]
  const declarations: Array<(typeof CodeDeclaration)["Type"]> = []
  for (let i = 0; i < found.length; i++) {
    const { index, path } = found[i]!
    const module = modules.get(path)!
    const effects = load(path)
    const declaration: Declaration | undefined = module.code?.declarations[index]
    if (declaration === undefined) {
      declarations.push({ module: module.name, name: module.name, kind: "file", digest: module.digest.slice(0, 32) })
      graph.push([module.digest])
      continue
    }
    const digest = declaration.digest.slice(0, 32)
    declarations.push({ module: module.name, name: declaration.names.join(", "), kind: declaration.kind, digest })
    graph.push([
      digest,
      effects,
      declaration.references.flatMap(({ member, name }): ReadonlyArray<Schema.Json> => {
        const targets = binding(path, name, member, new Set())
        return targets.length === 0 ? [] : [[name, member ?? "", targets.map(numberOf)]]
      })
    ])
  }
  return { digest: digestOf("code/1", graph), declarations }
}
