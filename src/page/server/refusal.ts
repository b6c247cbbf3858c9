/**
 * What the page's server cannot do, as an answer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { Refusal } from "../answers.ts"

/** A request that is refused, with its status: `place` names what of it is wrong, `next` says what can be done. */
export class PageError extends Schema.TaggedError<PageError>()("PageError", {
  status: Schema.Number,
  place: Schema.String,
  message: Schema.String,
  next: Schema.String
}) {}

/** Something of a request that is not right. */
export const wrong = (place: string, message: string, next = ""): PageError =>
  new PageError({ status: 400, place, message, next })

/** Something that is not there. */
export const missing = (place: string, message: string, next = ""): PageError =>
  new PageError({ status: 404, place, message, next })

const encode = Schema.encodeSync(Refusal)

/** The answer that says so. */
export const refuse = ({
  message,
  next,
  place,
  status
}: Omit<PageError, "_tag">): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(encode({ _tag: "Refusal", status, place, message, next }), { status })

const said = (error: object, field: string): string => {
  const value = (error as { readonly [field: string]: unknown })[field]
  return typeof value === "string" ? value : ""
}

/** Any error as a refusal: what names nothing is a 404, what a person typed wrong a 400, what the store has lost a 410, the rest a 500. */
export const toPageError = (error: unknown): PageError => {
  if (error instanceof PageError) return error
  const named = typeof error === "object" && error !== null ? error : {}
  const tag = said(named, "_tag")
  const lost =
    ["lost", "corrupt"].includes(said(named, "reason")) ||
    /is not in the store|is damaged \(/.test(said(named, "message"))
  const status =
    tag === "LineageError"
      ? 404
      : lost
        ? 410
        : ["SchemaError", "OperatorError", "ContinuationError"].includes(tag)
          ? 400
          : 500
  return new PageError({
    status,
    place: said(named, "reference") || said(named, "place"),
    message: said(named, "message") || String(error),
    next: said(named, "next")
  })
}

/** An answer, which is JSON as it is (see answers.ts) or the bytes of it, or the refusal that an error is. */
export const answer = <E, R>(
  effect: Effect.Effect<object, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  effect.pipe(
    Effect.map((body) =>
      body instanceof Uint8Array
        ? HttpServerResponse.uint8Array(body, { contentType: "application/json" })
        : HttpServerResponse.jsonUnsafe(body)
    ),
    Effect.catch((error) => Effect.succeed(refuse(toPageError(error))))
  )
