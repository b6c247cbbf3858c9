/** Turborepo: each stage is a package with a build script that depends on those of its parents' packages. */
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync } from "node:fs"
import { join } from "node:path"
import { type DagPeer, put, versionOf } from "./peer.ts"

const own = join(import.meta.dirname, "../turbo/node_modules/.bin/turbo")

/** Stands in for npm, which takes 0.2 s to start a script: it starts the script of the package that it is in at once. */
const npm = `#!/bin/sh
exec sh -c "$(sed -n 's/.*"build": "\\(.*\\)".*/\\1/p' package.json)"
`

export const turborepo: DagPeer = {
  name: "Turborepo",
  find: () => {
    const file = process.env["PTMFLOW_BENCH_TURBO"] ?? own
    const version = existsSync(file) ? versionOf(file, ["--version"]) : undefined
    if (version === undefined) return { missing: "no turbo: see docs/benchmarks.md for how to install it" }
    return {
      version: `Turborepo ${version}`,
      build: (folder) => ({
        file,
        arguments: ["run", "build", "--output-logs=none", "--ui=stream"],
        environment: {
          TURBO_TELEMETRY_DISABLED: "1",
          DO_NOT_TRACK: "1",
          PATH: `${join(folder, "bin")}:${process.env["PATH"]}`
        }
      }),
      source: (leaf) => `packages/${leaf}/source.txt`,
      write: (folder, dag) => {
        const json = (value: unknown) => `${JSON.stringify(value, null, 1)}\n`
        put(
          folder,
          "package.json",
          json({ name: "dag", private: true, packageManager: "npm@11.0.0", workspaces: ["packages/*"] })
        )
        put(folder, "package-lock.json", json({ name: "dag", lockfileVersion: 3, requires: true, packages: {} }))
        put(folder, "turbo.json", json({ tasks: { build: { dependsOn: ["^build"], outputs: ["out"] } } }))
        put(folder, ".gitignore", "out\nran\n.turbo\nnode_modules\n")
        put(folder, "bin/npm", npm)
        chmodSync(join(folder, "bin/npm"), 0o755)
        for (const { name, parents } of dag) {
          const inputs = parents.length === 0 ? ["source.txt"] : parents.map((parent) => `../${parent}/out`)
          put(
            folder,
            `packages/${name}/package.json`,
            json({
              name,
              version: "1.0.0",
              scripts: { build: `sh ../../stage.sh out ${name} ${inputs.join(" ")}` },
              dependencies: Object.fromEntries(parents.map((parent) => [parent, "*"]))
            })
          )
        }
        // It asks git what changed, which is faster than to look itself.
        const git = (...args: ReadonlyArray<string>) => execFileSync("git", args, { cwd: folder, stdio: "ignore" })
        git("init", "-q")
        git("add", ".")
        git("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "dag")
      }
    }
  }
}
