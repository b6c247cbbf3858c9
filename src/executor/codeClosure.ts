/**
 * What an operator's code is: the declarations that it reaches, across modules.
 *
 * @since 0.1.0
 */
import { isBuiltin } from "node:module"
import * as Schema from "effect/Schema"
import { digestOf } from "../operator/digest.ts"
import type { Declaration, Foreign, ModuleCode, Reference } from "./codeModule.ts"
import type { Named, Touch } from "./codeTouch.ts"
import { globalRead, importedRead, isAllowed, type Read, type ReadKind } from "./undeclared.ts"

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
  /** The lines of its source, and where in it a place of the parsed text is (line and column from 1). */
  readonly source: ReadonlyArray<string>
  readonly locate: (offset: number) => { readonly line: number; readonly column: number }
  /** A part of ptmflow itself: what it reads is known to be in keys, or in no result. */
  readonly trusted: boolean
}

/** A package that a module imports. */
export interface PackageUse {
  readonly importer: string
  readonly specifier: string
}

/** What an operator's code reaches: its tree, the packages that it uses and what it reads that no key holds. */
export interface Closure {
  readonly tree: CodeTree
  readonly packages: ReadonlyArray<PackageUse>
  readonly reads: ReadonlyArray<Read>
}

/** Where to start: one export of a module, one declaration by its index, or (neither) all of it. */
export interface Root {
  readonly path: string
  readonly exported?: string
  readonly declaration?: number
}

/** A declaration of the project, or what a module of a package exports. */
type Target = Place | (PackageUse & { readonly name: string })

interface Place {
  readonly path: string
  readonly index: number
}

const idOf = ({ index, path }: Place) => `${index} ${path}`

/**
 * Follows references from the roots. Declarations are numbered in the order in which they are found, so the digest depends on what is declared
 * and on what refers to what, and not on where files are or what they are called. The statements of the modules in `apart` are left out.
 */
export const codeClosure = (
  modules: ReadonlyMap<string, ProjectModule>,
  roots: ReadonlyArray<Root>,
  apart: ReadonlySet<string> = new Set()
): Closure => {
  const packages = new Map<string, PackageUse>()
  const reads: Array<Read> = []
  const numbers = new Map<string, number>()
  const found: Array<{ readonly path: string; readonly index: number }> = []
  const loaded = new Set<string>()

  const use = (importer: string, specifier: string) => {
    if (!isBuiltin(specifier)) packages.set(`${specifier} ${importer}`, { importer, specifier })
  }

  const numberOf = (target: Target): number | string => {
    if ("specifier" in target) {
      use(target.importer, target.specifier)
      return `${target.specifier}#${target.name}`
    }
    const id = idOf(target)
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
    // JSON does nothing: it counts where it is used.
    if (module.code === undefined) return path.endsWith(".json") ? [] : [numberOf({ path, index: -1 })]
    const { declarations, exports, imports, specifiers, stars } = module.code
    const named = new Set(stars)
    for (const each of [...imports.values(), ...exports.values()])
      if (typeof each !== "string") named.add(each.specifier)
    // What is imported for its effects alone; names count where they are used.
    for (const each of specifiers) if (!named.has(each) && !module.resolved.has(each)) use(path, each)
    return [
      ...specifiers.flatMap((specifier) => load(module.resolved.get(specifier) ?? "")),
      ...module.dynamic.flatMap((each) => all(each).map(numberOf)),
      ...(apart.has(path) ? [] : declarations).flatMap((each, index) =>
        each.kind === "statement" ? [numberOf({ path, index })] : []
      )
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
    if (target === undefined) return [{ importer: path, specifier, name: name === "*" ? (member ?? "*") : name }]
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
      return target === undefined ? [{ importer: path, specifier, name }] : exported(target, name, seen)
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

  const readOf = (path: string, { bound }: Declaration, { member, name }: Reference): ReadKind | undefined => {
    const code = modules.get(path)?.code
    if (code === undefined || code.locals.has(name)) return undefined
    const imported = code.imports.get(name)
    if (imported === undefined) return bound.has(name) ? undefined : globalRead(name, member)
    const direct = importedRead(imported.specifier, imported.name, member)
    if (direct !== undefined || member === "()" || member === "=") return direct
    // What a module of the project exports again.
    for (const target of binding(path, name, member, new Set())) {
      const kind = "specifier" in target ? importedRead(target.specifier, target.name, member) : undefined
      if (kind !== undefined) return kind
    }
    return undefined
  }

  const noteReads = (path: string, declaration: Declaration) => {
    const module = modules.get(path)!
    if (module.trusted) return
    const whole = module.locate(declaration.start).line
    for (const reference of declaration.references) {
      const kind = readOf(path, declaration, reference)
      if (kind === undefined) continue
      const { at } = reference
      const what = inWords(reference)
      for (const offset of at) {
        const place = module.locate(offset)
        if ([whole, place.line].some((line) => isAllowed(module.source, line, kind))) continue
        reads.push({ kind, what, file: module.name, ...place })
      }
    }
  }

  /** The declarations of the project that a name is. */
  const places = (path: string, { member, name }: Named): ReadonlyArray<Place> =>
    binding(path, name, member, new Set()).filter((each): each is Place => "path" in each)

  const touchesOf = ({ index, path }: Place): ReadonlyArray<Touch> => {
    const module = modules.get(path)
    return module === undefined || module.trusted ? [] : (module.code?.declarations[index]?.touches ?? [])
  }

  const isNamespace = (path: string, { name }: Named) => modules.get(path)?.code?.imports.get(name)?.name === "*"

  /** Whether a function changes something that it may have been given. */
  const changesGiven = (place: Place): boolean =>
    touchesOf(place).some(
      (touch) => touch.how === "changed" && binding(place.path, touch.name, touch.member, new Set()).length === 0
    )

  /** Whether a declaration changes, as its module is loaded or, `called`, when it is called, one that was found. */
  const changesFound = (place: Place, called: boolean, seen: Set<string>): boolean => {
    if (seen.has(idOf(place))) return false
    seen.add(idOf(place))
    return touchesOf(place).some((touch) => {
      if (touch.later && !called) return false
      if (touch.how === "called") return places(place.path, touch).some((each) => changesFound(each, true, seen))
      if (touch.how === "argument" && !places(place.path, touch.to!).some(changesGiven)) return false
      // Of a namespace a member is called, and nothing is changed.
      if (touch.member === undefined && isNamespace(place.path, touch)) return false
      return places(place.path, touch).some((each) => numbers.has(idOf(each)))
    })
  }

  /** Finds the declarations that nothing refers to, and that change what was found. */
  const findChanges = () => {
    for (const path of loaded) {
      if (apart.has(path)) continue
      for (const [index, { kind }] of (modules.get(path)?.code?.declarations ?? []).entries()) {
        const place = { path, index }
        if (kind !== "statement" && !numbers.has(idOf(place)) && changesFound(place, false, new Set())) numberOf(place)
      }
    }
  }

  const starts = roots.flatMap(({ declaration, exported: name, path }): ReadonlyArray<Target> => {
    if (name !== undefined) return exported(path, name, new Set())
    if (declaration !== undefined) return [{ path, index: declaration }]
    return (modules.get(path)?.code?.declarations ?? []).map((_, index) => ({ path, index }))
  })
  const graph: Array<Schema.Json> = [starts.map(numberOf)]
  const declarations: Array<(typeof CodeDeclaration)["Type"]> = []
  for (let i = 0; ; i++) {
    if (i === found.length) findChanges()
    if (i === found.length) break
    const { index, path } = found[i]!
    const module = modules.get(path)!
    const effects = load(path)
    const declaration: Declaration | undefined = module.code?.declarations[index]
    if (declaration === undefined) {
      declarations.push({ module: module.name, name: module.name, kind: "file", digest: module.digest.slice(0, 32) })
      graph.push([module.digest])
      continue
    }
    noteReads(path, declaration)
    for (const each of declaration.imports) if (!module.resolved.has(each)) use(path, each)
    const digest = declaration.digest.slice(0, 32)
    declarations.push({ module: module.name, name: declaration.names.join(", "), kind: declaration.kind, digest })
    graph.push([
      digest,
      effects,
      declaration.references.flatMap(({ member, name }): ReadonlyArray<Schema.Json> => {
        if (member === "=") return []
        const targets = binding(path, name, member, new Set())
        return targets.length === 0 ? [] : [[name, member ?? "", targets.map(numberOf)]]
      })
    ])
  }
  return {
    tree: { digest: digestOf("code/1", graph), declarations },
    packages: [...packages.values()],
    reads: reads.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column))
  }
}

/** A reference as the code says it. */
const inWords = ({ member, name }: Reference): string => {
  if (member === undefined || member === "=") return name
  if (member.includes("#")) return member.replace(/#=$/, "").replace("#", ".")
  return `${name}.${member}`.replace(/\.\(\)$/, "()").replace(/\.=$/, "")
}
