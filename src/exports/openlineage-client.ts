/**
 * Sends OpenLineage events to a service that takes them, such as Marquez.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { inWords } from "./http-failure.ts"
import type { RunEvent } from "./openlineage-event.ts"

/** Events could not be sent; `place` is the address. */
export class SendError extends Schema.TaggedError<SendError>()("SendError", {
  place: Schema.String,
  message: Schema.String
}) {}

/** Where to, and with what. `endpoint` (default `api/v1/lineage`) is added to an address without a path; `key` is sent as a bearer token. */
export interface Target {
  readonly address: string
  readonly endpoint?: string | undefined
  readonly key?: string | undefined
}

/** For one attempt to send an event. */
const PATIENCE = Duration.seconds(5)

/** For what is left when a run ends. */
const LAST_PATIENCE = Duration.seconds(10)

const isHere = (host: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(host)

/** What sends one event, and fails where that cannot be done in three attempts. */
export const makeSend = Effect.fnUntraced(function* ({
  address,
  endpoint = "api/v1/lineage",
  key
}: Target): Effect.fn.Return<(event: RunEvent) => Effect.Effect<void, SendError>, SendError> {
  const refuse = (message: string) => new SendError({ place: address, message })
  const url = URL.parse(address)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return yield* refuse("it is no address of a service: it begins with https:// or http://")
  }
  if (key !== undefined && url.protocol === "http:" && !isHere(url.hostname)) {
    return yield* refuse("a key would be sent unencrypted: use https, or take OPENLINEAGE_API_KEY away")
  }
  if (url.pathname === "/") url.pathname = `/${endpoint.replace(/^\//, "")}`
  const request = HttpClientRequest.post(url)
  const authorised = key === undefined ? request : HttpClientRequest.bearerToken(request, key)
  const client = (yield* Effect.provide(HttpClient.HttpClient, FetchHttpClient.layer)).pipe(
    HttpClient.tap((response) => Effect.ignore(response.arrayBuffer)),
    HttpClient.filterStatusOk,
    HttpClient.transform((response) => Effect.timeout(response, PATIENCE)),
    HttpClient.retryTransient({ times: 2, schedule: Schedule.exponential(Duration.millis(200)) })
  )
  return (event) =>
    client.execute(HttpClientRequest.bodyJsonUnsafe(authorised, event)).pipe(
      Effect.asVoid,
      Effect.withTracerEnabled(false),
      Effect.mapError((error) => refuse(inWords(error)))
    )
})

/**
 * What takes events while a run goes on and sends them one after another, until the scope closes and 10 s at most after that. A run never waits for
 * it but then, nor fails with it: when an event cannot be sent no more are, and `onFailure` hears why.
 */
export const live = Effect.fnUntraced(function* (
  target: Target,
  onFailure: (error: SendError) => Effect.Effect<void>
): Effect.fn.Return<(events: () => ReadonlyArray<RunEvent>) => void, SendError, Scope.Scope> {
  const send = yield* makeSend(target)
  const queue = yield* Queue.unbounded<() => ReadonlyArray<RunEvent>, Cause.Done>()
  const sending = Queue.take(queue).pipe(
    Effect.flatMap((events) => Effect.forEach(events(), send, { discard: true })),
    Effect.forever,
    Effect.catchTag("SendError", (error) => Effect.andThen(Queue.shutdown(queue), onFailure(error))),
    Effect.ignore
  )
  const fiber = yield* Effect.forkScoped(sending)
  const late = new SendError({
    place: target.address,
    message: `it had not taken all of them ${Duration.format(LAST_PATIENCE)} after the end`
  })
  yield* Effect.addFinalizer(() =>
    Queue.end(queue).pipe(
      Effect.andThen(Effect.interruptible(Fiber.join(fiber))),
      Effect.timeoutOption(LAST_PATIENCE),
      Effect.flatMap((ended) => (Option.isNone(ended) ? onFailure(late) : Effect.void))
    )
  )
  return (events) => {
    Queue.offerUnsafe(queue, events)
  }
})
