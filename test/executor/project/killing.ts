/** A disk whose process kills itself (SIGKILL) at the n-th change, before it, in the middle of it where it is a write, or after it. */
import * as Effect from "effect/Effect"
import { type Disk, nodeDisk, type OpenFile } from "../../../src/store/disk.ts"
import type { StoreError } from "../../../src/store/storeError.ts"

export type When = "before" | "within" | "after"

const die = Effect.sync(() => process.kill(process.pid, "SIGKILL")).pipe(Effect.andThen(Effect.never))

export const killingDisk = (at: number, when: When): Disk => {
  let done = 0
  const change = <A>(operation: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => {
      if (done++ !== at) return operation
      return when === "after" ? Effect.andThen(operation, die) : die
    })
  const opened = (file: OpenFile): OpenFile => ({
    ...file,
    write: (data) =>
      Effect.suspend(() => {
        if (done !== at || when !== "within") return change(file.write(data))
        return Effect.andThen(file.write(data.subarray(0, data.byteLength >> 1)), die)
      }),
    sync: change(file.sync),
    protect: change(file.protect)
  })
  return {
    ...nodeDisk,
    open: (file, how) => Effect.map(change(nodeDisk.open(file, how)), opened),
    makeFolder: (folder) => change(nodeDisk.makeFolder(folder)),
    rename: (from, to) => change(nodeDisk.rename(from, to)),
    remove: (name) => change(nodeDisk.remove(name)),
    touch: (file, time) => change(nodeDisk.touch(file, time)),
    syncFolder: (folder) => change(nodeDisk.syncFolder(folder))
  }
}
