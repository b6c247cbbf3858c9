import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { plot } from "../../operators/plot.ts"
import { type Report, ReportPort } from "../../operators/report.ts"
import type { Blob, BlobSink, BlobSource } from "../../src/operator/artifact.ts"

/** Blobs in memory. */
const makeBlobs = () => {
  const kept = new Map<string, Uint8Array<ArrayBuffer>>()
  const sink: BlobSink = {
    put: Effect.fnUntraced(function* (data) {
      const parts = data instanceof Uint8Array ? [data] : yield* Stream.runCollect(data)
      const bytes = Uint8Array.from(parts.flatMap((part) => [...part]))
      const digest = createHash("sha256").update(bytes).digest("hex")
      kept.set(digest, bytes)
      return { digest, bytes: bytes.length }
    })
  }
  const source: BlobSource = {
    bytes: ({ digest }: Blob) => Effect.succeed(kept.get(digest)!),
    path: () => Effect.die("not a file")
  }
  return { sink, source, kept }
}

const points = [
  { series: "gold", x: 0, y: 1, low: 0.5, high: 1.5 },
  { series: "gold", x: 1, y: 3, low: 2, high: 4 },
  { series: "proxy & co", x: 1, y: 5, low: 4.5, high: 5.5 }
]
const options = { name: "curve", title: "Reward", x: "KL", y: "reward" }

describe("report", () => {
  it.effect("a plot is an SVG with its titles and series, the same each time, and shows what changed", () =>
    Effect.gen(function* () {
      const { svg } = yield* plot(points, options)
      assert.match(svg, /^<svg/)
      for (const text of ["Reward", "KL", "reward", "gold", "proxy &amp; co"]) assert.include(svg, text)
      assert.strictEqual((yield* plot(points, options)).svg, svg)
      assert.notStrictEqual((yield* plot([...points.slice(1), { ...points[0]!, y: 2 }], options)).svg, svg)
      assert.notInclude(svg, "NaN")
    })
  )

  it.effect("comes back from its blobs with plots and all; each plot is a part of its own", () =>
    Effect.gen(function* () {
      const { kept, sink, source } = makeBlobs()
      const report: Report = {
        title: "Overall",
        figures: [{ name: "kl", value: 1.5, unit: "nats" }],
        samples: [],
        plots: [yield* plot(points, options), yield* plot(points, { ...options, name: "dots", mark: "point" })]
      }
      const artifact = yield* ReportPort.encode(report, sink)
      assert.sameMembers(Object.keys(artifact.parts), ["report.json", "curve.svg", "dots.svg"])
      assert.strictEqual(new TextDecoder().decode(kept.get(artifact.parts["curve.svg"]!.digest)), report.plots![0]!.svg)
      assert.deepStrictEqual(yield* ReportPort.decode(artifact, source), report)
      const { plots: _, ...plain } = report
      const without = yield* ReportPort.encode(plain, sink)
      assert.notStrictEqual(without.digest, artifact.digest)
      assert.deepStrictEqual(yield* ReportPort.decode(without, source), plain)
      const torn = { ...artifact, parts: { "report.json": artifact.parts["report.json"]! } }
      assert.match((yield* Effect.flip(ReportPort.decode(torn, source))).message, /no part curve\.svg/)
    })
  )
})
