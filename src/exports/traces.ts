/**
 * Traces of runs, sent over OTLP/HTTP: a span for the run and, in it, one for each stage, with those that operators make inside.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import * as Schema from "effect/Schema"
import { inWords } from "./http-failure.ts"

/** How long the last spans may take when a run has ended. */
const PATIENCE = Duration.seconds(3)

/** `name=value`s, percent-encoded, with commas between. */
const headers = Config.Record(Schema.String, Schema.StringFromUriComponent, "OTEL_EXPORTER_OTLP_HEADERS").pipe(
  Config.withDefault({})
)

/** Spans of a service of this name, unless the environment says another. */
const serviceName = (): { readonly serviceName?: string } => {
  const { OTEL_RESOURCE_ATTRIBUTES = "", OTEL_SERVICE_NAME } = process.env
  return OTEL_SERVICE_NAME !== undefined || /(^|,)\s*service\.name=/.test(OTEL_RESOURCE_ATTRIBUTES)
    ? {}
    : { serviceName: "ptmflow" }
}

/**
 * The tracer that sends spans to the collector at `address`, to which `/v1/traces` is added unless it ends so. A collector that does not answer costs a
 * run nothing but, at its end, 3 s at most: spans are lost, and `onFailure` hears each time why. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say
 * what the spans are of (default: the service `ptmflow`), `OTEL_EXPORTER_OTLP_HEADERS` what is sent with them.
 */
export const layer = (address: string, version: string, onFailure: (message: string) => Effect.Effect<void>) => {
  const base = address.replace(/\/+$/, "")
  const client = Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) =>
      client.pipe(
        HttpClient.filterStatusOk,
        HttpClient.tapError((error) => onFailure(inWords(error)))
      )
    )
  )
  return Layer.unwrap(
    Effect.map(Effect.orDie(headers), (headers) =>
      OtlpTracer.layer({
        url: base.endsWith("/v1/traces") ? base : `${base}/v1/traces`,
        resource: { ...serviceName(), serviceVersion: version },
        headers,
        exportInterval: Duration.seconds(2),
        shutdownTimeout: PATIENCE
      })
    )
  ).pipe(Layer.provide(OtlpSerialization.layerProtobuf), Layer.provide(client), Layer.provide(FetchHttpClient.layer))
}
