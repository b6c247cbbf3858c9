/**
 * The results of a store for scripts and notebooks: promises and async iterables.
 *
 * @since 0.1.0
 */
import type { RecordBatch } from "apache-arrow"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import type { Device } from "../device/device.ts"
import { devices } from "../device/devices.ts"
import type { Port } from "../operator/port.ts"
import type { AnyPipeline } from "../pipeline/pipeline.ts"
import { layer, type Store } from "../store/store.ts"
import type { VerifyOptions } from "../verify/verify.ts"
import { type ContinuationOptions, continueText } from "./continuation.ts"
import * as Results from "./results.ts"

/**
 * Opens the store in `folder` (default `.ptmflow`), read as it is now each time that something is asked. Promises are rejected with the errors of
 * the Effects of the same names. `close`, or `await using`, ends it.
 */
export const open = async (folder = ".ptmflow") => {
  const runtime = ManagedRuntime.make(layer(folder))
  const promise = <A, E>(effect: Effect.Effect<A, E, Store>): Promise<A> => runtime.runPromise(effect)
  await promise(Effect.void)
  const close = () => runtime.dispose()
  return {
    runs: () => promise(Results.runs),
    run: (name?: string) => promise(Results.run(name)),
    history: (name?: string) => promise(Results.history(name)),
    artifact: (reference: string, asOf?: string) => promise(Results.artifact(reference, asOf)),
    read: <A>(port: Port<A>, reference: string) => promise(Results.read(port, reference)),
    /** `batches()` reads the table anew, one record batch at a time. */
    table: async (reference: string) => {
      const table = await promise(Results.table(reference))
      return { ...table, batches: (): AsyncIterable<RecordBatch> => Stream.toAsyncIterable(table.batches) }
    },
    checkpoint: (reference: string) => promise(Results.checkpoint(reference)),
    report: (reference: string) => promise(Results.report(reference)),
    metrics: (stage: string, run?: string) => promise(Results.metrics(stage, run)),
    rowSeen: (table: string, row: number) => promise(Results.rowSeen(table, row)),
    seen: (checkpoint: string, not?: string) => promise(Results.seen(checkpoint, not)),
    /** Runs what made an artifact again, on the best device there is or that which `options` say. */
    verify: async (pipeline: AnyPipeline<Device>, reference: string, options?: VerifyOptions) => {
      const { verify } = await import("./proof.ts")
      return promise(Effect.provide(verify(pipeline, reference, options), devices()))
    },
    /** Lets a checkpoint continue a text, on the best device there is. */
    generate: ({ checkpoint }: Results.StoredCheckpoint, prompt: string, options?: ContinuationOptions) =>
      promise(Effect.provide(continueText(checkpoint, prompt, options), devices())),
    close,
    [Symbol.asyncDispose]: close
  }
}
