/**
 * Who may ask, and what a browser may do with the answer.
 *
 * Without a token only names of this machine are answered, so that a page elsewhere cannot reach the server under a name that it controls. With one,
 * whoever comes with it (`?token=`, once; then the cookie, or `Authorization: Bearer`) is. What changes or computes something is asked for with POST, as
 * JSON, from the page itself: a form or a script of another origin cannot.
 *
 * @since 0.1.0
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { PageError, refuse } from "./refusal.ts"

/** A token that cannot be guessed. */
export const newToken = (): string => randomBytes(24).toString("base64url")

/** Whether an address is of this machine alone. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host)

const cookieName = "ptmflow-page"

const headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cache-control": "no-store"
}

const secure = HttpServerResponse.setHeaders(headers)

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()
const same = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b))

const hostOf = (authority: string): string => authority.replace(/:\d+$/, "")

const refusal = (status: number, place: string, message: string, next = "") =>
  refuse(new PageError({ status, place, message, next }))

/** What an answer must pass before it is made; undefined if it may be. */
const check = (
  request: HttpServerRequest.HttpServerRequest,
  token: string | undefined
): HttpServerResponse.HttpServerResponse | undefined => {
  const host = request.headers["host"] ?? ""
  if (token === undefined && !isLoopback(hostOf(host))) {
    return refusal(403, "host", `${host} is no name of this machine`, "Open the address that ptmflow serve printed.")
  }
  if (token !== undefined) {
    const given = request.headers["authorization"]?.replace(/^Bearer /, "") ?? request.cookies[cookieName] ?? ""
    if (!same(given, token)) {
      const next = "Open the address with the token that ptmflow serve printed."
      return refusal(401, "token", "the token is missing, or is not this server's", next)
    }
  }
  if (request.method === "GET" || request.method === "HEAD") return undefined
  if (request.method !== "POST") {
    return refusal(
      405,
      "method",
      `${request.method} is not answered`,
      "GET looks, POST /api/sample samples, POST /api/plan plans, POST /api/verify verifies."
    )
  }
  const origin = request.headers["origin"]
  if (origin !== undefined && origin.replace(/^https?:\/\//, "") !== host) {
    return refusal(403, "origin", `${origin} is another origin than this page's`)
  }
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) {
    return refusal(415, "content-type", "what is posted is JSON: content-type: application/json")
  }
  return undefined
}

/** The first visit with the token: from then on the cookie has it, and the address does not. */
const welcome = (url: URL, token: string): HttpServerResponse.HttpServerResponse | undefined => {
  const given = url.searchParams.get("token")
  if (given === null || url.pathname !== "/" || !same(given, token)) return undefined
  return HttpServerResponse.redirect("/", {
    status: 303,
    headers: { "set-cookie": `${cookieName}=${token}; Path=/; HttpOnly; SameSite=Strict` }
  })
}

/** Lets through what may pass, and says to the browser what the page may do: run what comes from here, and nothing else. */
export const guard =
  (token: string | undefined) =>
  <E, R>(
    effect: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest> =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const url = new URL(request.originalUrl, "http://page")
      const first = token !== undefined && request.method === "GET" ? welcome(url, token) : undefined
      return secure(first ?? check(request, token) ?? (yield* effect))
    })
