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
import type { AnyOperator } from "../operator/operator.ts"
import type { FileDigest } from "../store/files.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { CodeTree, codeTree, type Root } from "./codeClosure.ts"
import { CodeError, displayName, isInside, readProject } from "./codeProject.ts"

/** Digests of code by operator, and what is behind a digest that was found on this machine. */
export interface Code {
  readonly digests: ReadonlyMap<AnyOperator, string>
  readonly tree: (digest: string) => CodeTree | undefined
}

/** What was found, for as long as these files are what they were. */
const Found = Schema.Struct({
  files: Schema.Array(Schema.Tuple([Schema.String, Schema.String])),
  digest: Schema.String
})
const decodeFound = Schema.decodeUnknownOption(Found)
const decodeTree = Schema.decodeUnknownOption(CodeTree)

/** The code of operators. Only where a file changed is esbuild started. */
export const codeOf = Effect.fnUntraced(function* (
  operators: ReadonlyArray<AnyOperator>,
  { files, memo }: Pick<Store["Service"], "files" | "memo">
): Effect.fn.Return<Code, CodeError | StoreError> {
  const digests = new Map<AnyOperator, string>()
  const seen = new Map<string, FileDigest>()
  const digestOf = Effect.fnUntraced(function* (file: string) {
    const found = seen.get(file) ?? (yield* files.digest(file))
    seen.set(file, found)
    return found
  })

  const unknown: Array<AnyOperator> = []
  for (const operator of operators) {
    const found = decodeFound(memo.get("code", idOf(operator)))
    const digest = Option.isSome(found) ? yield* stillTrue(operator, found.value, digestOf) : undefined
    if (digest === undefined) unknown.push(operator)
    else digests.set(operator, digest)
  }
  if (unknown.length > 0) {
    const origins = new Map<AnyOperator, ReadonlyArray<string>>()
    for (const operator of unknown) origins.set(operator, yield* originOf(operator))
    const files = [...new Set([...origins.values()].flat())].sort()
    const modules = yield* readProject(files)
    const exports = yield* Effect.promise(() => exportsOf(files))
    for (const operator of unknown) {
      const origin = origins.get(operator)!
      const roots = rootsOf(operator, origin, exports)
      const tree = codeTree(modules, roots)
      const reached = reachable(modules, roots)
      const inputs: Array<readonly [string, string]> = []
      for (const file of reached) {
        const { changed } = yield* digestOf(file)
        yield* checkLoaded(operator, file, changed)
        inputs.push([file, modules.get(file)!.digest])
      }
      yield* memo.set("tree", tree.digest, tree)
      yield* memo.set("code", idOf(operator), { files: inputs, digest: tree.digest })
      digests.set(operator, tree.digest)
    }
  }
  return { digests, tree: (digest) => Option.getOrUndefined(decodeTree(memo.get("tree", digest))) }
})

const idOf = ({ definition, name }: AnyOperator): string =>
  [name, definition.line, definition.file, ...definition.callers].join(" ")

const stillTrue = Effect.fnUntraced(function* (
  operator: AnyOperator,
  found: (typeof Found)["Type"],
  digestOf: (file: string) => Effect.Effect<FileDigest, StoreError>
) {
  for (const [file, digest] of found.files) {
    const now = yield* Effect.option(digestOf(file))
    if (Option.isNone(now) || now.value.digest !== digest) return undefined
    yield* checkLoaded(operator, file, now.value.changed)
  }
  return found.digest
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
  const { callers, file } = operator.definition
  const paths = [file, ...callers].flatMap((each) => {
    if (each.startsWith("file:")) return [fileURLToPath(each)]
    return path.isAbsolute(each) ? [each] : []
  })
  const inside = [...new Set(paths)].filter(isInside)
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

/** The export that is the operator, in the first file that has it; where none does, all of the files. */
const rootsOf = (
  operator: AnyOperator,
  files: ReadonlyArray<string>,
  exports: ReadonlyMap<string, object>
): ReadonlyArray<Root> => {
  for (const file of files) {
    const found = Object.entries(exports.get(file) ?? {}).find(([, value]) => value === operator)
    if (found !== undefined) return [{ path: file, exported: found[0] }]
  }
  return files.map((file) => ({ path: file, exported: undefined }))
}

const reachable = (
  modules: ReadonlyMap<string, { readonly resolved: ReadonlyMap<string, string> }>,
  roots: ReadonlyArray<Root>
): ReadonlyArray<string> => {
  const found = new Set(roots.map(({ path }) => path))
  for (const file of found) for (const next of modules.get(file)?.resolved.values() ?? []) found.add(next)
  return [...found]
}
