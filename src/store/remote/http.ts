/**
 * A remote behind HTTP: GET, HEAD and PUT of `<address>/cas/<sha256>` and `<address>/ac/<key>`.
 *
 * @since 0.1.0
 */
import { createReadStream } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type RemoteContent, RemoteError, type RemoteObjects } from "./remote.ts"

/** Milliseconds without a byte after which a request is given up: a server may have much to flush before it answers. */
const SILENCE_MS = 120_000

/** Tries of a request that found nobody, or a server that cannot now; whoever gets tries again, for what breaks off too. */
const RETRIES = { times: 2, schedule: Schedule.exponential("200 millis") }

/** Hosts of this machine, to which a token may go unencrypted. */
const isHere = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host)

/** The objects at an address. `token` is sent as a bearer token, a name and a password in the address as such; neither is sent unencrypted elsewhere. */
export const httpRemote = (address: URL, token: string | undefined): Effect.Effect<RemoteObjects, RemoteError> => {
  const { hostname, password, protocol, username } = address
  const base = `${address.origin}${address.pathname.replace(/\/+$/, "")}`
  const authorization =
    token !== undefined && token !== ""
      ? `Bearer ${token}`
      : username === ""
        ? undefined
        : `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64")}`
  if (authorization !== undefined && protocol === "http:" && !isHere(hostname)) {
    const message = `a token would be sent to ${base} unencrypted: use https, or take the token away`
    return Effect.fail(new RemoteError({ reason: "refused", place: base, message }))
  }

  const client = protocol === "https:" ? https : http
  const agent = new client.Agent({ keepAlive: true, maxSockets: 16, timeout: SILENCE_MS })

  const unreachable = (place: string, cause: unknown) =>
    new RemoteError({
      reason: "unreachable",
      place,
      message: `${place} cannot be reached: ${cause instanceof Error ? cause.message || String((cause as { code?: unknown }).code) : cause}`
    })

  const refusal = (place: string, { headers, statusCode = 0 }: http.IncomingMessage): RemoteError => {
    const said = (reason: RemoteError["reason"], words: string) =>
      new RemoteError({ reason, place, message: `${place}: ${words} (HTTP ${statusCode})` })
    if (statusCode === 404 || statusCode === 410) return said("missing", "it is not there")
    if (statusCode === 401 || statusCode === 403)
      return said("refused", "not permitted: is PTMFLOW_REMOTE_TOKEN right?")
    if (statusCode === 413 || statusCode === 507) return said("refused", "there is no room for it")
    if (statusCode >= 300 && statusCode < 400) return said("refused", `it has moved to ${headers.location ?? "?"}`)
    if (statusCode === 408 || statusCode === 429 || statusCode >= 500) return said("unreachable", "it cannot now")
    return said("refused", "it does not understand the request")
  }

  /** The answer to one request, if it is a good one; its body is still to be read. */
  const answer = (method: "GET" | "HEAD" | "PUT", name: string, content?: RemoteContent) => {
    const place = `${base}/${name}`
    return Effect.tryPromise({
      try: (signal) =>
        new Promise<http.IncomingMessage>((resolve, reject) => {
          const length = content === undefined ? {} : { "content-length": lengthOf(content) }
          const headers = { ...length, ...(authorization === undefined ? {} : { authorization }) }
          const sent = client.request(place, { method, headers, signal, agent }, (response) => {
            if (method !== "GET") response.resume()
            resolve(response)
          })
          sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error(`no answer for ${SILENCE_MS / 1000} s`)))
          sent.on("error", reject)
          if (content === undefined) sent.end()
          else if ("text" in content) sent.end(content.text)
          else {
            const file = createReadStream(content.file, { end: Math.max(0, content.blob.bytes - 1) })
            file.on("error", (error) => sent.destroy(error))
            sent.on("close", () => file.destroy())
            if (content.blob.bytes === 0) sent.end()
            else file.pipe(sent)
          }
        }),
      catch: (cause) => unreachable(base, cause)
    }).pipe(
      Effect.filterOrElse(
        ({ statusCode = 0 }) => statusCode >= 200 && statusCode < 300,
        (response) => {
          response.resume()
          return Effect.fail(refusal(place, response))
        }
      ),
      Effect.retry({ ...RETRIES, while: ({ reason }) => reason === "unreachable" && method !== "GET" })
    )
  }
  return Effect.succeed({
    place: base,
    get: (name) =>
      Stream.unwrap(
        Effect.map(answer("GET", name), (response) =>
          Stream.fromAsyncIterable<Uint8Array, RemoteError>(response, (cause) => unreachable(`${base}/${name}`, cause))
        )
      ),
    has: (name) =>
      answer("HEAD", name).pipe(
        Effect.as(true),
        Effect.catch((error) => (error.reason === "missing" ? Effect.succeed(false) : Effect.fail(error)))
      ),
    put: (name, content) => Effect.asVoid(answer("PUT", name, content))
  })
}

const lengthOf = (content: RemoteContent): number =>
  "text" in content ? Buffer.byteLength(content.text) : content.blob.bytes
