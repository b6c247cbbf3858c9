/**
 * A disk in memory that behaves no better than POSIX promises.
 *
 * What processes see is the page cache. When the machine crashes, of each file what was synced last is left, with any of the writes since
 * then, in any order, whole or in part; and of each folder the names that were synced last, or any of the changes since then.
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { sha256 } from "../../../src/store/digest.ts"
import type { Disk } from "../../../src/store/disk.ts"
import { fromCause, type StoreError } from "../../../src/store/storeError.ts"
import type { Draws } from "./random.ts"

interface File {
  readonly kind: "file"
  seen: Buffer
  durable: Buffer
  /** Writes since the last sync: where they begin and end. */
  pending: Array<readonly [from: number, to: number]>
  changed: number
}

interface Folder {
  readonly kind: "folder"
  readonly seen: Map<string, Node>
  durable: Map<string, Node>
}

type Node = File | Folder

const newFolder = (): Folder => ({ kind: "folder", seen: new Map(), durable: new Map() })

const failure = (place: string, code: string): StoreError =>
  fromCause(place, Object.assign(new Error(code), { code, message: `${code} ${place}` }))

/** How a process reaches the disk. `latency` is waited for before each change; `now` is the time that a change is given. */
export interface View {
  readonly draws: Draws
  readonly latency: Effect.Effect<void>
  readonly now: () => number
  readonly isDead: () => boolean
  /** Changes that have begun: what becomes of them is drawn when the process is killed. */
  readonly begun: Set<() => void>
  /** Told of each change. */
  readonly note: (change: string) => void
  /** The next write takes only some of the bytes, or fails. */
  readonly isFull: () => boolean
  /** What a mistaken store would leave out. */
  readonly omit?: "sync" | "syncFolder" | undefined
}

export const makeMemoryDisk = () => {
  const root = newFolder()

  const find = (at: string): Node | undefined =>
    at
      .split("/")
      .filter((part) => part !== "")
      .reduce<Node | undefined>((node, part) => (node?.kind === "folder" ? node.seen.get(part) : undefined), root)

  const folderOf = (at: string): Folder => {
    const folder = find(path.dirname(at))
    if (folder?.kind !== "folder") throw failure(at, "ENOENT")
    return folder
  }

  const fileAt = (at: string): File => {
    const file = find(at)
    if (file?.kind !== "file") throw failure(at, "ENOENT")
    return file
  }

  const view = (process: View): Disk => {
    /** A change that takes time. Of one that is cut off by a kill, `some` of it may be done. */
    const change = <A>(what: string, apply: () => A, some?: () => void): Effect.Effect<A, StoreError> =>
      Effect.suspend(() => {
        if (process.isDead()) return Effect.fail(failure(what, "EIO"))
        const cutOff = () => {
          if (process.draws.chance(0.3)) apply()
          else if (some !== undefined && process.draws.chance(0.5)) some()
        }
        process.begun.add(cutOff)
        return process.latency.pipe(
          Effect.andThen(
            Effect.try({
              try: () => {
                if (process.isDead()) throw failure(what, "EIO")
                process.begun.delete(cutOff)
                process.note(what)
                return apply()
              },
              catch: (cause) => fromCause(what, cause)
            })
          ),
          Effect.ensuring(Effect.sync(() => process.begun.delete(cutOff)))
        )
      })

    const append = (file: File, data: Uint8Array): number => {
      const from = file.seen.byteLength
      file.seen = Buffer.concat([file.seen, data])
      file.pending.push([from, from + data.byteLength])
      file.changed = process.now()
      return data.byteLength
    }

    return {
      stat: (at) => {
        const node = find(at)
        if (node === undefined) return undefined
        return node.kind === "file"
          ? { bytes: node.seen.byteLength, changed: node.changed, isFolder: false }
          : { bytes: 0, changed: 0, isFolder: true }
      },
      list: (at) => {
        const folder = find(at)
        return folder?.kind === "folder" ? [...folder.seen.keys()].sort() : undefined
      },
      read: (at, from = 0, length = Number.POSITIVE_INFINITY) => {
        const file = find(at)
        return file?.kind === "file" ? Buffer.from(file.seen.subarray(from, from + length)) : undefined
      },
      load: (at) =>
        Effect.try({
          try: () => Uint8Array.from(fileAt(at).seen),
          catch: (cause) => fromCause(at, cause)
        }),
      digest: (at) => Effect.try({ try: () => sha256(fileAt(at).seen), catch: (cause) => fromCause(at, cause) }),
      open: (at, how) =>
        Effect.map(
          change(`open ${at}`, () => {
            const folder = folderOf(at)
            const known = folder.seen.get(path.basename(at))
            if (known?.kind === "file" && how === "append") return known
            if (known !== undefined) throw failure(at, "EEXIST")
            const file: File = {
              kind: "file",
              seen: Buffer.alloc(0),
              durable: Buffer.alloc(0),
              pending: [],
              changed: process.now()
            }
            folder.seen.set(path.basename(at), file)
            return file
          }),
          (file) => ({
            write: (data) =>
              change(
                `write ${at}`,
                () => {
                  if (!process.isFull()) return append(file, data)
                  const most = process.draws.between(0, data.byteLength)
                  if (most === 0) throw failure(at, "ENOSPC")
                  return append(file, data.subarray(0, most))
                },
                () => append(file, data.subarray(0, process.draws.between(0, data.byteLength)))
              ),
            sync: change(`sync ${at}`, () => {
              if (process.omit === "sync") return
              file.durable = file.seen
              file.pending = []
            }),
            protect: Effect.void,
            close: Effect.void
          })
        ),
      makeFolder: (at) =>
        change(`folder ${at}`, () => {
          const above = folderOf(at)
          if (above.seen.get(path.basename(at)) === undefined) above.seen.set(path.basename(at), newFolder())
        }),
      rename: (from, to) =>
        change(`rename ${from} ${to}`, () => {
          const node = folderOf(from).seen.get(path.basename(from))
          const there = folderOf(to).seen.get(path.basename(to))
          if (node === undefined) throw failure(from, "ENOENT")
          if (there?.kind === "folder" && there.seen.size > 0) throw failure(to, "ENOTEMPTY")
          folderOf(from).seen.delete(path.basename(from))
          folderOf(to).seen.set(path.basename(to), node)
        }),
      remove: (at) =>
        change(`remove ${at}`, () => {
          const above = find(path.dirname(at))
          if (above?.kind === "folder") above.seen.delete(path.basename(at))
        }),
      touch: (at, time) =>
        change(`touch ${at}`, () => {
          fileAt(at).changed = time
        }),
      syncFolder: (at) =>
        change(`syncFolder ${at}`, () => {
          const folder = find(at)
          if (folder?.kind !== "folder") throw failure(at, "ENOENT")
          if (process.omit !== "syncFolder") folder.durable = new Map(folder.seen)
        })
    }
  }

  /** What is left of a file. */
  const surviving = (file: File, draws: Draws): Buffer => {
    let left = Buffer.from(file.durable)
    for (const [from, to] of file.pending) {
      if (draws.chance(0.4)) continue
      const end = draws.chance(0.5) ? to : draws.between(from, to)
      if (left.byteLength < end) left = Buffer.concat([left, Buffer.alloc(end - left.byteLength)])
      file.seen.copy(left, from, from, end)
    }
    return left
  }

  /** The machine loses its power. */
  const crash = (draws: Draws): void => {
    const visit = (node: Node): void => {
      if (node.kind === "file") {
        node.seen = surviving(node, draws)
        node.durable = node.seen
        node.pending = []
        return
      }
      for (const name of new Set([...node.seen.keys(), ...node.durable.keys()])) {
        const kept = draws.chance(0.5) ? node.durable.get(name) : node.seen.get(name)
        if (kept === undefined) node.seen.delete(name)
        else node.seen.set(name, kept)
      }
      node.durable = new Map(node.seen)
      for (const each of node.seen.values()) visit(each)
    }
    visit(root)
  }

  return { view, crash }
}
