/**
 * The modules of a project, read with esbuild: which file imports which, and what each says without its types.
 *
 * Installed packages are no part of it: they count by what the lock file says of them (see `packages.ts`). Modules whose name is computed and
 * files that code opens by itself are undeclared reads (see `undeclared.ts`). Sources of kernels are in the device's numerics class.
 *
 * @since 0.1.0
 */
import { existsSync, readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import { SourceMap } from "node:module"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { sha256 } from "../store/digest.ts"
import type { ProjectModule } from "./codeClosure.ts"

/** An operator's code could not be read. `place` is the file. */
export class CodeError extends Schema.TaggedError<CodeError>()("CodeError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** The package that this file is of: its own modules are inside every project. */
const OWN = "ptmflow"

/** Marks a question that the plugin below itself asks. */
const asked = {}

const loaders: { readonly [extension: string]: "js" | "jsx" | "ts" | "tsx" } = {
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
  ".jsx": "jsx",
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".tsx": "tsx"
}

/**
 * All modules that the entries (absolute paths) import, by path. Packages stay outside, but for ptmflow itself; files that are no JavaScript
 * count by their bytes.
 */
export const readProject = (
  entries: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, ProjectModule>, CodeError> =>
  Effect.tryPromise({
    try: async () => {
      const [esbuild, { parseModule }] = await Promise.all([import("esbuild"), import("./codeModule.ts")])
      const base = path.dirname(entries[0]!)
      const { metafile } = await esbuild.build({
        entryPoints: [...entries],
        absWorkingDir: base,
        bundle: true,
        format: "esm",
        platform: "node",
        outdir: base,
        write: false,
        metafile: true,
        logLevel: "silent",
        // As Node loads them: what is imported is loaded, though only types of it are used.
        tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
        plugins: [
          {
            name: "project",
            setup: (build) => {
              build.onResolve(
                { filter: /^[^./]/ },
                async ({ importer, kind, path: specifier, pluginData, resolveDir }) => {
                  if (kind === "entry-point" || pluginData === asked) return undefined
                  const found = await build.resolve(specifier, { importer, kind, resolveDir, pluginData: asked })
                  const inside = found.errors.length === 0 && !found.external && isInside(found.path)
                  return inside ? found : { path: specifier, external: true }
                }
              )
              build.onLoad({ filter: /.*/ }, (file) =>
                path.extname(file.path) in loaders ? undefined : { contents: "", loader: "empty" }
              )
            }
          }
        ]
      })
      const inputs = Object.entries(metafile.inputs)
      const modules = await Promise.all(
        inputs.map(async ([input, { imports }]) => {
          const file = path.resolve(base, input)
          const bytes = await fs.readFile(file)
          const inside = imports.filter((each) => each.external !== true)
          const module: ProjectModule = {
            name: displayName(file),
            digest: sha256(bytes),
            ...(await moduleCode(esbuild, parseModule, file, bytes)),
            source: bytes.toString().split("\n"),
            trusted: isFramework(file),
            resolved: new Map(inside.map((each) => [each.original ?? each.path, path.resolve(base, each.path)])),
            dynamic: inside
              .filter(({ kind }) => kind !== "import-statement")
              .map((each) => path.resolve(base, each.path))
          }
          return [file, module] as const
        })
      )
      return new Map(modules)
    },
    catch: (cause) => {
      const { errors } = cause as {
        readonly errors?: ReadonlyArray<{
          readonly text: string
          readonly location?: { file: string; line: number } | null
        }>
      }
      const [first] = errors ?? []
      const place = first?.location ? `${first.location.file}:${first.location.line}` : entries.join(", ")
      return new CodeError({
        place,
        message: `${place}: ${first?.text ?? (cause instanceof Error ? cause.message : String(cause))}`
      })
    }
  })

const moduleCode = async (
  esbuild: typeof import("esbuild"),
  parseModule: typeof import("./codeModule.ts").parseModule,
  file: string,
  bytes: Buffer
) => {
  const loader = loaders[path.extname(file)]
  if (loader === undefined) return { code: undefined, locate: () => ({ line: 1, column: 1 }) }
  const { code, map } = await esbuild.transform(bytes.toString(), {
    loader,
    format: "esm",
    target: "es2024",
    legalComments: "none",
    sourcemap: "external",
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } }
  })
  return { code: parseModule(code), locate: locator(code, map) }
}

/** Places of the source by places of the code that esbuild made of it. */
const locator = (code: string, map: string): ProjectModule["locate"] => {
  let lines: ReadonlyArray<number> | undefined
  let sources: SourceMap | undefined
  return (offset) => {
    lines ??= [0, ...Array.from(code.matchAll(/\n/g), ({ index }) => index + 1)]
    sources ??= new SourceMap(JSON.parse(map))
    const line = lines.findLastIndex((start) => start <= offset)
    const found = sources.findEntry(line, offset - lines[line]!)
    return "originalLine" in found
      ? { line: found.originalLine + 1, column: found.originalColumn + 1 }
      : { line: line + 1, column: 1 }
  }
}

/** Whether a file is of the framework: in the `src` of ptmflow's package, as it is or built. */
const isFramework = (file: string): boolean => {
  const root = packageRoot(path.dirname(file))
  return packageName(root) === OWN && /^(dist[/\\])?src[/\\]/.test(path.relative(root, file))
}

/** A file as people call it: its path inside its package, led by the package's name where that is an installed one. */
export const displayName = (file: string): string => {
  const root = packageRoot(path.dirname(file))
  const inside = path.relative(root, file).split(path.sep).join("/")
  const modules = root.lastIndexOf(`${path.sep}node_modules${path.sep}`)
  return modules < 0
    ? inside
    : `${root
        .slice(modules + 14)
        .split(path.sep)
        .join("/")}/${inside}`
}

const roots = new Map<string, string>()

const packageRoot = (folder: string): string => {
  const known = roots.get(folder)
  if (known !== undefined) return known
  const above = path.dirname(folder)
  const root = existsSync(path.join(folder, "package.json")) || above === folder ? folder : packageRoot(above)
  roots.set(folder, root)
  return root
}

/** Whether a file's code counts as the project's: it is in no installed package, or in ptmflow's own. */
export const isInside = (file: string): boolean =>
  !file.includes(`${path.sep}node_modules${path.sep}`) || packageName(packageRoot(path.dirname(file))) === OWN

const packageNames = new Map<string, unknown>()

const packageName = (root: string): unknown => {
  if (!packageNames.has(root)) {
    try {
      const { name } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { readonly name?: unknown }
      packageNames.set(root, name)
    } catch {
      packageNames.set(root, undefined)
    }
  }
  return packageNames.get(root)
}
