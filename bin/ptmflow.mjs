#!/usr/bin/env node
/**
 * Starts the command line on a Node that can run it: this one from version 24 on, else the one of the `node` package that ptmflow pins.
 *
 * Plain JavaScript that old versions of Node can read.
 */
import module, { createRequire } from "node:module"
import path from "node:path"
import { fileURLToPath } from "node:url"
import { bundled } from "./bundled.mjs"
import { resolveQuickly } from "./resolve.mjs"

const require = createRequire(import.meta.url)
// To import it by name would load its streams too.
const { existsSync, readFileSync } = require("node:fs")

const needed = 24
const relaunched = "PTMFLOW_RELAUNCHED"

const signals = () => require("node:os").constants.signals

const stop = (message) => {
  process.stderr.write(`ptmflow: ${message}\n`)
  process.exit(1)
}

const pinnedNode = () => {
  try {
    const manifest = require.resolve("node/package.json")
    const { bin } = JSON.parse(readFileSync(manifest, "utf8"))
    const file = path.join(path.dirname(manifest), typeof bin === "string" ? bin : bin.node)
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

const relaunch = () => {
  const { spawn } = require("node:child_process")
  const node = process.env[relaunched] === undefined ? pinnedNode() : undefined
  if (node === undefined) {
    stop(
      `Node ${needed} or newer is needed, this is ${process.versions.node} and the npm package "node" beside ptmflow has no newer one. ` +
        "Install again with its install script allowed (npm install --allow-scripts=node), or run a newer Node."
    )
  }
  // The channel closes with this process, however it ends: the other one does not outlive it.
  const child = spawn(node, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, [relaunched]: process.versions.node }
  })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => child.kill(signal))
  child.on("error", (error) => stop(`cannot start ${node}: ${error.message}`))
  child.on("exit", (code, signal) => process.exit(code ?? 128 + signals()[signal]))
}

/** Modules that are loaded at once: for runs and plans in which nothing changed, and for the parser of commands and questions. */
const groups = [
  ["main", "run", "plan"],
  ["parse", "diff", "lineage", "show", "status", "why"]
]

/** Where effect is not as this version of ptmflow knows it, or the stack of an error is to name files, modules are loaded as Node does. */
const loadQuickly = async (own, fileOf) => {
  const [, effect] = /^(.*\/dist\/)Effect\.js$/.exec(import.meta.resolve("effect/Effect")) ?? []
  if (effect === undefined || module.registerHooks === undefined) return
  const what = {
    effect: fileURLToPath(effect),
    groups: groups.map((names) => names.map((name) => fileURLToPath(fileOf(name)))),
    own: fileURLToPath(own[0])
  }
  resolveQuickly({ bundled: process.argv.includes("--debug") ? new Map() : await bundled(what), effect, own })
}

const start = async () => {
  if (process.env[relaunched] !== undefined && process.channel) {
    process.on("disconnect", () => process.exit(128 + signals().SIGHUP))
    process.channel.unref()
  }
  module.enableCompileCache()
  const at = (file) => new URL(`../${file}`, import.meta.url).href
  const source = existsSync(new URL("../src/cli/main.ts", import.meta.url))
  const command = (name) => at(source ? `src/cli/${name}.ts` : `dist/src/cli/${name}.js`)
  await loadQuickly(source ? [at("src/"), at("operators/")] : [at("dist/src/"), at("dist/operators/")], command)
  const { main } = await import(command("main"))
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))
  main(process.argv.slice(2), version)
}

if (Number(process.versions.node.split(".")[0]) < needed) relaunch()
else await start()
