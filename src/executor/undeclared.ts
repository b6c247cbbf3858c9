/**
 * What code can read that no stage key holds: files, the environment, the clock, chance, the network, the machine, other processes, and code
 * that is not known before it runs.
 *
 * @since 0.1.0
 */
import { isBuiltin } from "node:module"
import * as Schema from "effect/Schema"

/** Kinds of what is read. */
export const ReadKind = Schema.Literals([
  "file",
  "environment",
  "time",
  "chance",
  "network",
  "machine",
  "process",
  "code"
])
export type ReadKind = typeof ReadKind.Type

/** One place where an operator's code reads what its key does not hold; `what` is how the code says it (`process.env`). */
export const Read = Schema.Struct({
  kind: ReadKind,
  what: Schema.String,
  file: Schema.String,
  line: Schema.Number,
  column: Schema.Number
})
export type Read = typeof Read.Type

/** By member; `*` stands for every other member and for the name itself, `=` for giving it another name where the name itself reads nothing. */
type Members = { readonly [member: string]: ReadKind | undefined }

const processMembers: Members = {
  env: "environment",
  argv: "environment",
  execArgv: "environment",
  cwd: "file",
  chdir: "file",
  hrtime: "time",
  uptime: "time",
  stdout: undefined,
  stderr: undefined,
  nextTick: undefined,
  emitWarning: undefined,
  "*": "machine"
}

const cryptoMembers: Members = {
  randomBytes: "chance",
  randomFill: "chance",
  randomFillSync: "chance",
  randomInt: "chance",
  randomUUID: "chance",
  getRandomValues: "chance",
  generateKey: "chance",
  generateKeySync: "chance",
  generateKeyPair: "chance",
  generateKeyPairSync: "chance",
  "=": "chance"
}

const globals: { readonly [name: string]: Members } = {
  process: processMembers,
  globalThis: { "*": "environment" },
  global: { "*": "environment" },
  navigator: { "*": "machine" },
  localStorage: { "*": "file" },
  Date: { now: "time", "()": "time", "=": "time" },
  Temporal: { Now: "time" },
  performance: { "*": "time" },
  Math: { random: "chance", "=": "chance" },
  crypto: cryptoMembers,
  fetch: { "*": "network" },
  WebSocket: { "*": "network" },
  EventSource: { "*": "network" },
  XMLHttpRequest: { "*": "network" },
  eval: { "*": "code" },
  Function: { "()": "code" },
  import: { "()": "code", "meta.dirname": "file", "meta.filename": "file", "meta.url": "file", "meta.=": "file" },
  require: { "()": "code" },
  Worker: { "*": "process" }
}

const modules: { readonly [specifier: string]: Members } = {
  fs: { "*": "file" },
  "fs/promises": { "*": "file" },
  sqlite: { "*": "file" },
  module: { createRequire: "file" },
  process: processMembers,
  crypto: cryptoMembers,
  perf_hooks: { "*": "time" },
  os: { "*": "machine" },
  v8: { "*": "machine" },
  child_process: { "*": "process" },
  cluster: { "*": "process" },
  worker_threads: { "*": "process" },
  vm: { "*": "code" },
  ...Object.fromEntries(
    ["net", "http", "https", "http2", "dns", "dns/promises", "dgram", "tls"].map((name) => [name, { "*": "network" }])
  ),
  "effect/Clock": { "*": "time" },
  "effect/Config": { "*": "environment" },
  "effect/DateTime": { now: "time", nowAsDate: "time", nowInCurrentZone: "time", nowUnsafe: "time" },
  "effect/FileSystem": { "*": "file" },
  "effect/Random": { "*": "chance" }
}

const own = (table: { readonly [name: string]: Members }, name: string): Members | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined

const kindOf = (members: Members | undefined, member: string | undefined): ReadKind | undefined => {
  if (members === undefined) return undefined
  if (member !== undefined && Object.hasOwn(members, member)) return members[member]
  // A call without arguments, or another name, is told by its name already.
  return member === "()" || member === "=" ? undefined : members["*"]
}

/** What kind of thing a global name, or a member of it, reads; undefined where that changes no result. */
export const globalRead = (name: string, member: string | undefined): ReadKind | undefined => {
  const [inside, used] = member === undefined || member === "=" ? [] : member.split(name === "import" ? "#" : ".")
  if (name === "globalThis" && inside !== undefined) return globalRead(inside, used)
  if (name === "global" && inside !== undefined) return globalRead(inside, undefined) ?? globalRead(inside, "=")
  if (name === "import" && used !== undefined)
    return importedRead(inside!, "*", used === "=" ? undefined : used) ?? importedRead(inside!, "*", used)
  return kindOf(own(globals, name), member)
}

/** What kind of thing an export of a module reads. The default export and the whole of a module count as any of its exports. */
export const importedRead = (specifier: string, name: string, member: string | undefined): ReadKind | undefined => {
  const whole = name === "default" || name === "*"
  if (specifier === "effect") {
    return whole ? kindOf(own(modules, `effect/${member}`), undefined) : importedRead(`effect/${name}`, "*", member)
  }
  const members = own(modules, isBuiltin(specifier) ? specifier.replace(/^node:/, "") : specifier)
  if (members === undefined || member === "()" || (member === "=" && !whole)) return undefined
  return name === "webcrypto" ? kindOf(cryptoMembers, member) : kindOf(members, whole ? member : name)
}

/** Whether a line, or the comment above it, says that what is read there is no part of the result: `// ptmflow-allow time: why`. */
export const isAllowed = (lines: ReadonlyArray<string>, line: number, kind: ReadKind): boolean => {
  const allows = (text: string | undefined) => {
    const [, kinds = "", why = ""] = /\bptmflow-allow ([a-z, ]+):(.*)/.exec(text ?? "") ?? []
    return why.trim() !== "" && kinds.split(/[ ,]+/).includes(kind)
  }
  if (allows(lines[line - 1])) return true
  for (let above = line - 2; above >= 0 && /^\s*(\/\/|\/?\*)/.test(lines[above]!); above--) {
    if (allows(lines[above])) return true
  }
  return false
}
