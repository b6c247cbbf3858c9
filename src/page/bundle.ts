/**
 * Bundles the page: `node src/page/bundle.ts` writes it to `dist/page` for the package; in a checkout the server bundles it when it starts.
 *
 * @since 0.1.0
 */
import { mkdir, writeFile } from "node:fs/promises"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const client = fileURLToPath(new URL("./client/", import.meta.url))

/** The page's files by name. */
export const bundle = async (): Promise<ReadonlyMap<string, Uint8Array>> => {
  const { outputFiles } = await build({
    absWorkingDir: client,
    entryPoints: ["page.tsx"],
    bundle: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    minify: true,
    legalComments: "eof",
    outdir: "out",
    write: false,
    logLevel: "silent"
  })
  return new Map(outputFiles.map((file) => [path.basename(file.path), file.contents]))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = fileURLToPath(new URL("../../dist/page/", import.meta.url))
  await mkdir(folder, { recursive: true })
  for (const [name, contents] of await bundle()) await writeFile(path.join(folder, name), contents)
}
