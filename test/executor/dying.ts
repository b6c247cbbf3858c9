/** A disk whose process dies at the n-th change: no later change happens. */
import * as Effect from "effect/Effect"
import { type Disk, nodeDisk } from "../../src/store/disk.ts"
import type { StoreError } from "../../src/store/storeError.ts"

export const dying = (at: number): Disk => {
  let left = at
  const change = <A>(operation: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    Effect.suspend(() => (left-- > 0 ? operation : Effect.interrupt))
  return {
    ...nodeDisk,
    open: (file, how) =>
      Effect.map(change(nodeDisk.open(file, how)), (opened) => ({
        ...opened,
        write: (data) => change(opened.write(data)),
        sync: change(opened.sync)
      })),
    makeFolder: (folder) => change(nodeDisk.makeFolder(folder)),
    rename: (from, to) => change(nodeDisk.rename(from, to)),
    remove: (name) => change(nodeDisk.remove(name)),
    touch: (file, time) => change(nodeDisk.touch(file, time)),
    syncFolder: (folder) => change(nodeDisk.syncFolder(folder))
  }
}
