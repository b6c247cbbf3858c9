/**
 * A small server of a remote: the objects of a folder over HTTP.
 *
 * What is put under `cas/` must have the digest that its name says; an object is seen once all of it is there. It speaks no TLS: across machines
 * put a server that does before it.
 *
 * @since 0.1.0
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { createReadStream } from "node:fs"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Disk, nodeDisk } from "../disk.ts"
import { makeDurable } from "../durable.ts"
import { StoreError } from "../storeError.ts"
import { isObjectName, RemoteError } from "./remote.ts"

/** `host` (default 127.0.0.1) other than a loopback address needs a `token`. `port` 0 (the default) takes a free one. */
export interface ServeOptions {
  readonly folder: string
  readonly host?: string
  readonly port?: number
  readonly token?: string
  readonly disk?: Disk
}

/** An `ac/` object is a record: far below this many bytes. */
const RECORD_BYTES = 64 << 20

/** Serves until the scope closes. Gives the address. */
export const serveRemote = Effect.fnUntraced(function* ({
  disk = nodeDisk,
  folder,
  host = "127.0.0.1",
  port = 0,
  token
}: ServeOptions): Effect.fn.Return<string, RemoteError, Scope.Scope> {
  if (!/^(127(\.\d+){3}|::1|localhost)$/.test(host) && (token === undefined || token === "")) {
    const message = `whoever reaches ${host} could write to ${folder}: set PTMFLOW_REMOTE_TOKEN to a secret that its users have too`
    return yield* new RemoteError({ reason: "refused", place: host, message })
  }
  const root = path.resolve(folder)
  yield* Effect.mapError(
    disk.makeFolder(root),
    ({ message }) =>
      new RemoteError({ reason: "refused", place: root, message: `the folder cannot be made: ${message}` })
  )
  const durable = makeDurable(disk, root)
  const { createServer } = yield* Effect.promise(() => import("node:http"))
  const answer = handler(durable, root, token)
  const server = yield* Effect.acquireRelease(
    Effect.callback<Server, RemoteError>((resume) => {
      const server = createServer((request, response) => {
        Effect.runPromise(answer(request, response)).catch((cause: unknown) => end(response, 500, String(cause)))
      })
      // Uploads take as long as they take.
      server.requestTimeout = 0
      server.once("error", (cause) => {
        resume(Effect.fail(new RemoteError({ reason: "refused", place: `${host}:${port}`, message: cause.message })))
      })
      server.listen(port, host, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const address = server.address() as AddressInfo
  return `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`
})

const end = (response: ServerResponse, status: number, text = ""): void => {
  if (response.headersSent) response.destroy()
  else response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(text === "" ? "" : `${text}\n`)
}

const isPermitted = (request: IncomingMessage, token: string | undefined): boolean => {
  if (token === undefined || token === "") return true
  const digest = (text: string) => createHash("sha256").update(text).digest()
  return timingSafeEqual(digest(request.headers.authorization ?? ""), digest(`Bearer ${token}`))
}

const handler =
  ({ blob, disk }: ReturnType<typeof makeDurable>, root: string, token: string | undefined) =>
  (request: IncomingMessage, response: ServerResponse): Effect.Effect<void> => {
    const name = (request.url ?? "").slice(1)
    const [kind = "", id = ""] = name.split("/")
    const file = path.join(root, kind, id.slice(0, 2), id)
    if (!isPermitted(request, token)) return Effect.sync(() => end(response, 401, "the token is missing or wrong"))
    if (!isObjectName(name)) return Effect.sync(() => end(response, 404, "there are cas/<sha256> and ac/<key> only"))
    switch (request.method) {
      case "GET":
      case "HEAD":
        return Effect.sync(() => {
          const stat = disk.stat(file)
          if (stat === undefined) return end(response, 404)
          response.writeHead(200, { "content-type": "application/octet-stream", "content-length": stat.bytes })
          if (request.method === "HEAD") return void response.end()
          const bytes = createReadStream(file)
          bytes.on("error", () => response.destroy())
          response.on("close", () => bytes.destroy())
          bytes.pipe(response)
        })
      case "PUT": {
        const bytes = Stream.fromAsyncIterable<Uint8Array, StoreError>(
          request,
          (cause) => new StoreError({ reason: "io", place: name, message: `the upload broke off: ${cause}` })
        )
        const length = Number(request.headers["content-length"] ?? Number.NaN)
        const refuse = (message: string) => Effect.fail(new StoreError({ reason: "corrupt", place: name, message }))
        if (kind === "ac" && !(length <= RECORD_BYTES)) return Effect.sync(() => end(response, 413, "too long"))
        return blob(bytes, (found) => {
          if (Number.isFinite(length) && found.bytes !== length) return refuse("the upload broke off")
          return kind === "cas" && found.digest !== id ? refuse("its bytes have another digest") : Effect.succeed(file)
        }).pipe(
          Effect.match({
            onSuccess: () => end(response, 201),
            onFailure: ({ message, reason }) =>
              end(response, reason === "corrupt" ? 422 : reason === "full" ? 507 : 500, message)
          })
        )
      }
      default:
        return Effect.sync(() => end(response, 405, "GET, HEAD and PUT only"))
    }
  }
