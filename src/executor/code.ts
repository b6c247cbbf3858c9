/**
 * The digests of operators' code, found once for as long as no file of it is touched.
 *
 * @since 0.1.0
 */
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { AnyOperator, Call } from "../operator/operator.ts"
import type { FileDigest } from "../store/files.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { CodeTree, codeClosure, type ProjectModule, type Root } from "./codeClosure.ts"
import { CodeError, displayName, isInside, readProject } from "./codeProject.ts"
import { typesOf } from "./key.ts"
import { installedPackages, PackageSet } from "./packages.ts"
import { Read } from "./undeclared.ts"

/** The digests of an operator's code and of the packages that it uses, and what it reads that no key holds. */
export interface OperatorCode {
  readonly code: string
  readonly packages: string
  readonly reads: ReadonlyArray<Read>
}

/** What is behind the digests, as far as it is known. */
export interface CodeHistory {
  readonly tree: (digest: string) => CodeTree | undefined
  readonly packages: (digest: string) => PackageSet | undefined
}

/** The code of operators. */
export interface Code extends CodeHistory {
  readonly of: (operator: AnyOperator) => OperatorCode
}

const Stamped = Schema.Array(Schema.Tuple([Schema.String, Schema.String]))

/** What was found, for as long as these files are what they were: modules that were loaded, and what says which packages there are. */
const Found = Schema.Struct({
  /** Counts up when more is found in the same code. */
  rules: Schema.Literal(2),
  files: Stamped,
  locks: Stamped,
  digest: Schema.String,
  packages: Schema.String,
  reads: Schema.Array(Read)
})
type Found = typeof Found.Type
const decodeFound = Schema.decodeUnknownOption(Found)
const decodeTree = Schema.decodeUnknownOption(CodeTree)
const decodePackages = Schema.decodeUnknownOption(PackageSet)

/** The code of operators. Only where a file changed is esbuild started. */
export const codeOf = Effect.fnUntraced(function* (
  operators: ReadonlyArray<AnyOperator>,
  { files, journal, memo }: Pick<Store["Service"], "files" | "journal" | "memo">
): Effect.fn.Return<Code, CodeError | StoreError> {
  const known = new Map<AnyOperator, OperatorCode>()
  const seen = new Map<string, FileDigest>()
  const digestOf = Effect.fnUntraced(function* (file: string) {
    const found = seen.get(file) ?? (yield* files.digest(file))
    seen.set(file, found)
    return found
  })

  const unknown: Array<AnyOperator> = []
  for (const operator of operators) {
    const found = decodeFound(memo.get("code", idOf(operator)))
    const valid = Option.isSome(found) && (yield* stillTrue(operator, found.value, digestOf))
    if (valid) known.set(operator, resultOf(found.value))
    else unknown.push(operator)
  }
  if (unknown.length > 0) {
    const origins = new Map<AnyOperator, ReadonlyArray<string>>()
    for (const operator of unknown) origins.set(operator, yield* originOf(operator))
    const files = [...new Set([...origins.values()].flat())].sort()
    const modules = yield* readProject(files)
    const exports = yield* Effect.promise(() => exportsOf(files))
    for (const operator of unknown) {
      const origin = origins.get(operator)!
      const roots = rootsOf(operator, origin, exports, modules)
      const { packages, tree } = codeClosure(modules, roots)
      const exported = roots.every((root) => root.exported !== undefined)
      const defined = exported ? roots : definitionsIn(modules, origin, operator.name)
      // The statements of a file that defines operators may be those of a script, or of a test: what they read is no operator's.
      const { reads } = codeClosure(modules, defined, new Set(origin))
      const inputs: Array<readonly [string, string]> = []
      for (const file of reachable(modules, roots)) {
        const { changed } = yield* digestOf(file)
        yield* checkLoaded(operator, file, changed)
        inputs.push([file, modules.get(file)!.digest])
      }
      const installed = installedPackages(packages)
      const locks: Array<readonly [string, string]> = []
      for (const file of installed.files) locks.push([file, (yield* digestOf(file)).digest])
      const found: Found = {
        rules: 2,
        files: inputs,
        locks,
        digest: tree.digest,
        packages: installed.set.digest,
        reads
      }
      yield* memo.set("tree", tree.digest, tree)
      yield* memo.set("packages", installed.set.digest, installed.set)
      yield* memo.set("code", idOf(operator), found as unknown as Schema.Json)
      known.set(operator, resultOf(found))
    }
  }
  yield* checkApart(operators, known)
  const recall = (kind: string, recorded: string, digest: string) =>
    memo.get(kind, digest) ?? journal.newest(recorded, digest)?.value()
  return {
    of: (operator) => known.get(operator)!,
    tree: (digest) => Option.getOrUndefined(decodeTree(recall("tree", "code", digest))),
    packages: (digest) => Option.getOrUndefined(decodePackages(recall("packages", "packages", digest)))
  }
})

/** Operators that one piece of code made, with other values that it had then: no key would tell their stages apart. */
const checkApart = Effect.fnUntraced(function* (
  operators: ReadonlyArray<AnyOperator>,
  known: ReadonlyMap<AnyOperator, OperatorCode>
) {
  const seen = new Set<string>()
  for (const operator of new Set(operators)) {
    // One without callers says that all is in its ports (see `concat`).
    if (operator.definition.calls.length === 1) continue
    const { inputs, name, outputs, version } = operator
    const ports = [typesOf("Input", inputs), typesOf("Output", outputs)]
    const id = JSON.stringify([name, version, known.get(operator)!.code, ports])
    if (seen.has(id) || operator.definition.inPipeline) {
      const calls = callsOf(operator.definition).filter(({ file }) => isInside(file))
      const place = calls.map(({ file, line }) => `${displayName(file)}:${line}`).join(", called at ")
      const message = operator.definition.inPipeline
        ? `operator ${name} is made by a pipeline's function (${place}): what it holds of that function's values is in no stage key. Make it outside, and take these as parameters`
        : `several operators ${name} are made by the same code (${place}): what tells them apart is in no stage key. Take it as a parameter, or give each a name of its own`
      return yield* new CodeError({ place, message })
    }
    seen.add(id)
  }
})

const resultOf = ({ digest, packages, reads }: Found): OperatorCode => ({ code: digest, packages, reads })

/** Where `make` was called, then what called that: in files only, as Node's own frames depend on how it loaded them. */
const callsOf = ({ calls }: AnyOperator["definition"]): ReadonlyArray<Call> =>
  calls.flatMap((call) => {
    if (call.file.startsWith("file:")) return [{ ...call, file: fileURLToPath(call.file) }]
    return path.isAbsolute(call.file) ? [call] : []
  })

const idOf = ({ definition, name }: AnyOperator): string =>
  [name, ...callsOf(definition).map(({ column, file, line }) => `${file}:${line}:${column}`)].join(" ")

const stillTrue = Effect.fnUntraced(function* (
  operator: AnyOperator,
  found: Found,
  digestOf: (file: string) => Effect.Effect<FileDigest, StoreError>
) {
  for (const [file, digest] of found.files) {
    const now = yield* Effect.option(digestOf(file))
    if (Option.isNone(now) || now.value.digest !== digest) return false
    yield* checkLoaded(operator, file, now.value.changed)
  }
  for (const [file, digest] of found.locks) {
    const now = yield* Effect.option(digestOf(file))
    if (Option.isNone(now) || now.value.digest !== digest) return false
  }
  return true
})

const checkLoaded = (operator: AnyOperator, file: string, changed: number): Effect.Effect<void, CodeError> =>
  changed <= operator.definition.time
    ? Effect.void
    : Effect.fail(
        new CodeError({
          place: file,
          message: `${displayName(file)} changed after operator ${operator.name} was loaded from it: start again`
        })
      )

/** The files that defined an operator: where `make` was called, then those that called that (a factory's users). */
const originOf = (operator: AnyOperator): Effect.Effect<ReadonlyArray<string>, CodeError> => {
  const file = operator.definition.calls[0]?.file ?? ""
  const inside = [...new Set(callsOf(operator.definition).map((call) => call.file))].filter(isInside)
  return inside.length > 0
    ? Effect.succeed(inside)
    : Effect.fail(
        new CodeError({
          place: file,
          message: `operator ${operator.name} was not defined in a file of the project (${file || "unknown"}): its code cannot be known, so its results cannot be reused`
        })
      )
}

/** A module that is still running (a script that waits for this very run) cannot be imported again; then all of it counts. */
const IMPORT_LIMIT_MS = 500

/** What loaded modules export, by file. */
const exportsOf = async (files: ReadonlyArray<string>): Promise<ReadonlyMap<string, object>> => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<object>((resolve) => {
    timer = setTimeout(resolve, IMPORT_LIMIT_MS, {})
  })
  const loaded = await Promise.all(
    files.map(async (file) => {
      const imported = import(pathToFileURL(file).href).catch(() => ({})) as Promise<object>
      return [file, await Promise.race([imported, limit])] as const
    })
  )
  clearTimeout(timer)
  return new Map(loaded)
}

/** The export that is the operator, in the first file that has it; where none does, the declarations that made it, and all of the files. */
const rootsOf = (
  operator: AnyOperator,
  files: ReadonlyArray<string>,
  exports: ReadonlyMap<string, object>,
  modules: ReadonlyMap<string, ProjectModule>
): ReadonlyArray<Root> => {
  for (const file of files) {
    const found = Object.entries(exports.get(file) ?? {}).find(([, value]) => value === operator)
    if (found !== undefined) return [{ path: file, exported: found[0] }]
  }
  const makers = callsOf(operator.definition).flatMap(({ column, file, line }): ReadonlyArray<Root> => {
    const { code, locate } = modules.get(file) ?? {}
    const index = code?.declarations.findLastIndex(({ start }) => {
      const place = locate!(start)
      return place.line < line || (place.line === line && place.column <= column)
    })
    return index === undefined || index < 0 ? [] : [{ path: file, declaration: index }]
  })
  return [...makers, ...files.map((file) => ({ path: file }))]
}

/** The declarations with a call that has the name of an operator, which is not exported, first: what of the file is its code, as far as can be told. */
const definitionsIn = (
  modules: ReadonlyMap<string, ProjectModule>,
  files: ReadonlyArray<string>,
  name: string
): ReadonlyArray<Root> =>
  files.flatMap((file) => {
    const { code, locate, source } = modules.get(file)!
    return (code?.declarations ?? []).flatMap(({ end, kind, start }, declaration) => {
      const text = source.slice(locate(start).line - 1, locate(end).line).join("\n")
      return kind !== "statement" &&
        Array.from(text.matchAll(/\(\s*(["'`])(.*?)\1/g)).some(([, , first]) => first === name)
        ? [{ path: file, declaration }]
        : []
    })
  })

const reachable = (
  modules: ReadonlyMap<string, { readonly resolved: ReadonlyMap<string, string> }>,
  roots: ReadonlyArray<Root>
): ReadonlyArray<string> => {
  const found = new Set(roots.map(({ path }) => path))
  for (const file of found) for (const next of modules.get(file)?.resolved.values() ?? []) found.add(next)
  return [...found]
}
