/**
 * A remote that is a folder, such as one on a share that several machines mount.
 *
 * @since 0.1.0
 */
import { createReadStream } from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { nodeDisk } from "../disk.ts"
import { look, makeDurable } from "../durable.ts"
import { StoreError } from "../storeError.ts"
import { RemoteError, type RemoteObjects } from "./remote.ts"

/** A full disk or a closed door is no passing trouble; what is not there may be a share that is not mounted now. */
const toRemoteError = (error: StoreError): RemoteError =>
  new RemoteError({
    reason: error.reason === "lost" ? "missing" : error.reason === "io" ? "unreachable" : "refused",
    place: error.place,
    message: error.message
  })

/** The objects under `folder`, which must be there: a share that is not mounted is no empty remote. Files are written whole, as in a store. */
export const folderRemote = (folder: string, disk = nodeDisk): RemoteObjects => {
  const root = path.resolve(folder)
  const durable = makeDurable(disk, root)
  const fileOf = (name: string) => {
    const [kind = "", id = ""] = name.split("/")
    return path.join(root, kind, id.slice(0, 2), id)
  }
  const present = Effect.mapError(
    look(root, () => disk.stat(root)),
    toRemoteError
  ).pipe(
    Effect.filterOrFail(
      (stat) => stat?.isFolder === true,
      () =>
        new RemoteError({
          reason: "unreachable",
          place: root,
          message: `there is no folder ${root}: mount the share, or make the folder if it is a new remote`
        })
    )
  )
  return {
    place: root,
    get: (name) =>
      Stream.unwrap(
        Effect.map(present, () =>
          Stream.fromAsyncIterable(createReadStream(fileOf(name), { highWaterMark: 1 << 20 }), (cause) => {
            const code = cause instanceof Error && "code" in cause ? cause.code : ""
            return new RemoteError({
              reason: code === "ENOENT" ? "missing" : code === "EACCES" ? "refused" : "unreachable",
              place: fileOf(name),
              message: `${fileOf(name)}: ${code === "ENOENT" ? "it is not there" : String(cause)}`
            })
          })
        )
      ),
    has: (name) =>
      Effect.andThen(
        present,
        Effect.mapError(
          look(fileOf(name), () => disk.stat(fileOf(name)) !== undefined),
          toRemoteError
        )
      ),
    put: (name, content) =>
      Effect.andThen(
        present,
        "text" in content
          ? durable.whole(fileOf(name), content.text)
          : Stream.fromAsyncIterable(
              createReadStream(content.file, { highWaterMark: 1 << 20 }),
              (cause) => new StoreError({ reason: "lost", place: content.file, message: String(cause) })
            ).pipe((bytes) =>
              durable.blob(bytes, (found) =>
                found.digest === content.blob.digest
                  ? Effect.succeed(fileOf(name))
                  : Effect.fail(
                      new StoreError({
                        reason: "corrupt",
                        place: content.file,
                        message: `${content.file} is damaged, and was not pushed`
                      })
                    )
              )
            )
      ).pipe(
        Effect.mapError((error) => (error instanceof RemoteError ? error : toRemoteError(error))),
        Effect.asVoid
      )
  }
}
