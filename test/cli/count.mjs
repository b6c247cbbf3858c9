/** Loaded before a process: counts what it asks of the disk, parses and loads, and writes that to the file in COUNTS when it ends. */
import fs from "node:fs"
import { registerHooks, syncBuiltinESMExports } from "node:module"

const counts = { stats: 0, opened: 0, listed: 0, bytesRead: 0, parsed: 0, modules: [] }
const { openSync, readdirSync, readSync, statSync, writeFileSync } = fs
fs.statSync = (...args) => {
  counts.stats++
  return statSync(...args)
}
fs.openSync = (...args) => {
  counts.opened++
  return openSync(...args)
}
fs.readdirSync = (...args) => {
  counts.listed++
  return readdirSync(...args)
}
fs.readSync = (...args) => {
  const bytes = readSync(...args)
  counts.bytesRead += bytes
  return bytes
}
syncBuiltinESMExports()
const { parse } = JSON
JSON.parse = (...args) => {
  counts.parsed++
  return parse(...args)
}
registerHooks({
  load: (url, context, next) => {
    counts.modules.push(url)
    return next(url, context)
  }
})
process.on("exit", () => writeFileSync(process.env.COUNTS, JSON.stringify(counts)))
