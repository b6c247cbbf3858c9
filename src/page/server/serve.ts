/**
 * The page's server: what is asked for, and who answers.
 *
 * @since 0.1.0
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Device, type DeviceError } from "../../device/device.ts"
import { Store } from "../../store/store.ts"
import {
  type Curves,
  type Diff,
  type Lineage,
  type PlanView,
  type Rollouts,
  type RowSeen,
  type RowsApart,
  type Run,
  type RunArtifacts,
  type Runs,
  SampleRequest,
  type StageDetail,
  type TablePage,
  type Verifications,
  type Verifying as VerifyingView,
  VerifyRequest
} from "../answers.ts"
import { assets } from "./assets.ts"
import type { Filter } from "./filter.ts"
import { guard, isLoopback, newToken } from "./guard.ts"
import { diff, lineage } from "./lineage.ts"
import { noPlanning, type Planner, type Planning, planning } from "./plan.ts"
import { sample } from "./playground.ts"
import { answer, missing, PageError, refuse, toPageError, wrong } from "./refusal.ts"
import { rollouts } from "./rollouts.ts"
import { curves, events, ready, run, runArtifacts, runs, stageDetail } from "./runs.ts"
import { seen, seenApart } from "./seen.ts"
import { tablePage } from "./table.ts"
import { verifications } from "./verified.ts"
import { noVerifying, type Verifier, type Verifying, verifying } from "./verify.ts"
import { type Followed, versions } from "./versions.ts"

/** Where a server listens, and what opens the page. */
export interface Serving {
  readonly address: string
  readonly token: string | undefined
}

type Request = HttpServerRequest.HttpServerRequest

const queryOf = (request: Request): URLSearchParams => new URL(request.originalUrl, "http://page").searchParams

/** A whole number of the query between bounds, or the default. */
const number = (query: URLSearchParams, name: string, defaultValue: number, minimum: number, maximum: number) => {
  const text = query.get(name)
  const value = text === null ? defaultValue : /^\d+$/.test(text) ? Number(text) : Number.NaN
  return value >= minimum && value <= maximum
    ? Effect.succeed(value)
    : Effect.fail(wrong(name, `${name} is a whole number from ${minimum} to ${maximum}, not ${text}`))
}

const text = (query: URLSearchParams, name: string, what: string) => {
  const value = query.get(name)
  return value === null || value === ""
    ? Effect.fail(wrong(name, `${name} is missing: ${what}`))
    : Effect.succeed(value)
}

const artifact = (query: URLSearchParams, name: string) => text(query, name, "an artifact, as ptmflow lineage takes it")

const page = (query: URLSearchParams, limit: number, most: number) =>
  Effect.all([number(query, "offset", 0, 0, Number.MAX_SAFE_INTEGER), number(query, "limit", limit, 1, most)])

const filterOf = (query: URLSearchParams): Effect.Effect<Filter | undefined, PageError> => {
  const [column, operator, value] = [query.get("column"), query.get("operator"), query.get("value")]
  if (column === null || column === "" || value === null || value === "") return Effect.succeed(undefined)
  const known = ["contains", "equals", "below", "above"] as const
  const found = known.find((name) => name === (operator ?? "contains"))
  return found === undefined
    ? Effect.fail(wrong("operator", `operator is one of ${known.join(", ")}, not ${operator}`))
    : Effect.succeed({ column, operator: found, value })
}

const eventStream = { contentType: "text/event-stream", headers: { "x-accel-buffering": "no" } } as const

const decodeSample = Schema.decodeUnknownEffect(SampleRequest)
const decodeVerify = Schema.decodeUnknownEffect(VerifyRequest)

/** What is posted at most. */
const BODY_LIMIT = ByteSize.kibibytes(256)

const bodyOf = (request: Request) =>
  request.json.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, BODY_LIMIT),
    Effect.mapError(() => wrong("body", "the request is not JSON, or is longer than 256 KiB"))
  )

const sampleFrom = Effect.fnUntraced(function* (
  request: Request,
  device: Effect.Effect<Device["Service"], DeviceError>
) {
  return yield* sample(yield* decodeSample(yield* bodyOf(request), { errors: "all" }), device)
})

const verifyFrom = Effect.fnUntraced(function* (request: Request, { start, view }: Verifying) {
  yield* start(yield* decodeVerify(yield* bodyOf(request), { errors: "all" }))
  return view()
})

/** What answers with more than what is in the store. */
interface Parts {
  readonly store: Store["Service"]
  readonly device: Effect.Effect<Device["Service"], DeviceError>
  readonly plans: Planning
  readonly verifies: Verifying
}

const routes = ({ device, plans, store, verifies }: Parts) => {
  const provide = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Store, store)
  const param = Effect.map(HttpRouter.params, ({ run, reference }) => decodeURIComponent(run ?? reference ?? ""))
  const get = <A extends object>(
    path: `/${string}`,
    handler: (name: string, query: URLSearchParams) => Effect.Effect<A, unknown, Store>
  ) =>
    HttpRouter.route("GET", path, (request) =>
      answer(Effect.flatMap(param, (name) => provide(handler(name, queryOf(request)))))
    )
  const follow = (path: `/${string}`, followed: Followed) =>
    HttpRouter.route("GET", path, () =>
      Effect.sync(() => HttpServerResponse.stream(Stream.encodeText(versions(followed)), eventStream))
    )
  const live = HttpRouter.route("GET", "/api/runs/:run/events", (request) =>
    Effect.gen(function* () {
      const last = request.headers["last-event-id"] ?? queryOf(request).get("from") ?? "0"
      if (!/^\d+$/.test(last)) return yield* wrong("from", `from is where events go on from, not ${last}`)
      const stream = Stream.encodeText(yield* provide(events(yield* param, Number(last))))
      return HttpServerResponse.stream(Stream.provideService(stream, Store, store), eventStream)
    }).pipe(Effect.catch((error) => Effect.succeed(refuse(toPageError(error)))))
  )
  return [
    get<Runs>("/api/runs", (_, query) => Effect.flatMap(page(query, 50, 500), ([from, limit]) => runs(from, limit))),
    get<Run | Uint8Array>("/api/runs/:run", run),
    get<Curves>("/api/runs/:run/curves", curves),
    live,
    get<StageDetail>("/api/runs/:run/stage", (name, query) =>
      Effect.flatMap(text(query, "name", "a stage of the run"), (stage) => stageDetail(name, stage))
    ),
    get<RunArtifacts>("/api/runs/:run/artifacts", (name, query) =>
      Effect.flatMap(number(query, "limit", 200, 1, 1000), (limit) =>
        runArtifacts(name, {
          kind: query.get("kind") ?? "",
          match: query.get("match") ?? "",
          columns: (query.get("columns") ?? "").split(",").filter((column) => column !== ""),
          limit
        })
      )
    ),
    get<Lineage>("/api/lineage/:reference", (name, query) =>
      Effect.flatMap(number(query, "depth", 3, 0, 50), (depth) => lineage(name, depth))
    ),
    get<Diff>("/api/diff", (_, query) =>
      Effect.flatMap(Effect.all([artifact(query, "a"), artifact(query, "b")]), ([a, b]) => diff(a, b))
    ),
    get<TablePage>("/api/tables/:reference", (name, query) =>
      Effect.flatMap(Effect.all([page(query, 50, 500), filterOf(query)]), ([[from, limit], filter]) =>
        tablePage(name, from, limit, filter)
      )
    ),
    get<RowSeen>("/api/seen/:reference", (name, query) =>
      Effect.flatMap(number(query, "row", 0, 0, Number.MAX_SAFE_INTEGER), (row) => seen(name, row))
    ),
    get<RowsApart>("/api/rows-apart", (_, query) =>
      Effect.flatMap(Effect.all([artifact(query, "a"), artifact(query, "b")]), ([a, b]) => seenApart(a, b))
    ),
    get<Rollouts>("/api/rollouts/:reference", (name, query) =>
      Effect.flatMap(page(query, 24, 200), ([from, limit]) => rollouts(name, from, limit))
    ),
    get<PlanView>("/api/plan", () => Effect.sync(plans.view)),
    follow("/api/plan/events", plans),
    HttpRouter.route("POST", "/api/plan", () => answer(Effect.map(plans.again, plans.view))),
    get<Verifications>("/api/verified/:reference", verifications),
    get<VerifyingView>("/api/verify", () => Effect.sync(verifies.view)),
    follow("/api/verify/events", verifies),
    HttpRouter.route("POST", "/api/verify", (request) => answer(provide(verifyFrom(request, verifies)))),
    HttpRouter.route("POST", "/api/verify/stop", () => answer(Effect.map(verifies.stop, verifies.view))),
    HttpRouter.route("POST", "/api/sample", (request) => answer(provide(sampleFrom(request, device))))
  ] as const
}

const nothing = (request: Request): HttpServerResponse.HttpServerResponse => {
  const { pathname } = new URL(request.originalUrl, "http://page")
  return request.method === "GET" || request.method === "HEAD"
    ? refuse(missing(pathname, `there is nothing at ${pathname}`, "docs/page.md has the addresses that there are."))
    : refuse(
        new PageError({ status: 405, place: "method", message: `${request.method} is not answered here`, next: "" })
      )
}

/** Serves until the scope closes. Any host but this machine's own gets a token. `port` 0: any that is free. `device` is opened by the first request that samples; `planner` plans the pipeline that is shown, if there is one, and `verifier` verifies, where the page may. */
export const serve = Effect.fnUntraced(function* (options: {
  readonly host: string
  readonly port: number
  readonly device: Layer.Layer<Device, DeviceError>
  readonly planner?: Planner | undefined
  readonly verifier?: Verifier | undefined
}): Effect.fn.Return<Serving, PageError, Store | Scope.Scope> {
  const scope = yield* Effect.scope
  const store = yield* Store
  const { device, host, planner, port, verifier } = options
  const token = isLoopback(host) ? undefined : newToken()
  // Not given up with the request that opens it: the next one needs it too.
  const opened = yield* Effect.cached(
    Effect.uninterruptible(Effect.map(Layer.buildWithScope(device, scope), (context) => Context.get(context, Device)))
  )
  const files = yield* assets
  yield* Effect.ignore(ready)
  const plans = planner === undefined ? noPlanning : yield* planning(planner)
  const verifies = verifier === undefined ? noVerifying : yield* verifying(verifier)
  const parts = { store, device: opened, plans, verifies }
  const app = HttpRouter.use((router) =>
    Effect.gen(function* () {
      yield* router.addAll(routes(parts))
      for (const [path, response] of files) yield* router.add("GET", path as `/${string}`, response)
      yield* router.add("*", "/*", (request) => Effect.succeed(nothing(request)))
      yield* router.addGlobalMiddleware(guard(token))
    })
  )
  const server = yield* NodeHttpServer.make(createServer, { host, port }).pipe(
    Effect.mapError(
      (error) =>
        new PageError({
          status: 500,
          place: `${host}:${port}`,
          message: `the page cannot be served at ${host}:${port}: ${(error.cause as Error | undefined)?.message ?? error.message}`,
          next: "Choose another --port, or 0 for any that is free."
        })
    )
  )
  const built = HttpRouter.serve(app, { disableListenLog: true, disableLogger: true }).pipe(
    Layer.provide(Layer.succeed(HttpServer.HttpServer, server)),
    Layer.provide(NodeHttpServer.layerHttpServices)
  )
  yield* Layer.buildWithScope(built, scope)
  const at = "port" in server.address ? server.address.port : port
  const name = host.includes(":") ? `[${host.replace(/[[\]]/g, "")}]` : host
  return { address: `http://${name}:${at}/`, token }
})
