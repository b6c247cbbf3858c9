/**
 * Which process holds something, and whether it is still alive.
 *
 * @since 0.1.0
 */
import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"

/**
 * A process. `space` is where `pid` has a meaning: the host, on Linux also its boot and the namespace of its process ids. `born` tells
 * a later process with the same id apart, where the system says (else it is empty).
 */
export const Holder = Schema.Struct({
  pid: Schema.Number,
  host: Schema.String,
  space: Schema.String,
  born: Schema.String
})
export type Holder = typeof Holder.Type

const read = (file: string): string => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return ""
  }
}

const namespace = (): string => {
  try {
    return `${read("/proc/sys/kernel/random/boot_id").trim()} ${readlinkSync("/proc/self/ns/pid")}`
  } catch {
    return ""
  }
}

/** The start time of a process in clock ticks since boot; the name before it may contain anything but ends with the last `)`. */
const bornOf = (pid: number): string => {
  const stat = read(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""
}

/** A process here. */
export const processOf = (pid: number): Holder => ({
  pid,
  host: hostname(),
  space: `${hostname()} ${namespace()}`,
  born: bornOf(pid)
})

/** This process. */
export const thisProcess = (): Holder => processOf(process.pid)

/** Whether a process is alive: undefined if it is one of another host or namespace, of which nothing is known here. */
export const isAlive = (holder: Holder): boolean | undefined => {
  if (holder.space !== thisProcess().space) return undefined
  try {
    process.kill(holder.pid, 0)
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ESRCH") return false
  }
  return holder.born === "" || bornOf(holder.pid) === holder.born
}

/** The processes of this machine, as leases see them. */
export const Processes = Context.Reference<{
  readonly pid: number
  readonly thisProcess: () => Holder
  readonly isAlive: (holder: Holder) => boolean | undefined
}>("ptmflow/store/Processes", { defaultValue: () => ({ pid: process.pid, thisProcess, isAlive }) })
