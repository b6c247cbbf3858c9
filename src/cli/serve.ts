/**
 * `ptmflow serve`: the page.
 *
 * @since 0.1.0
 */
import { existsSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { serve as servePage } from "../page/server/serve.ts"
import type { Setting } from "../pipeline/graph.ts"
import { layer as storeLayer } from "../store/store.ts"
import { type DeviceInput, layer as deviceLayer } from "./device.ts"
import { CommandError } from "./failure.ts"
import { loadPipeline } from "./load.ts"
import { printJson, printLines, viewOf } from "./output.ts"
import { planner } from "./planner.ts"
import { verifier } from "./verifier.ts"

/** What was typed after `serve`. */
export interface ServeInput extends DeviceInput {
  readonly pipeline: Option.Option<string>
  readonly set: ReadonlyArray<Setting>
  readonly host: string
  readonly port: number
  readonly store: string
  readonly json: boolean
}

/** Serves the page until it is stopped, and says where. */
export const serve = Effect.fnUntraced(
  function* (input: ServeInput) {
    const pipeline = Option.getOrUndefined(input.pipeline)
    if (pipeline === undefined && input.set.length > 0) {
      const message = "--set sets parameters of a pipeline, and none was named"
      return yield* new CommandError({ place: "", message, next: "Name it: ptmflow serve pipelines/mine.ts --set ..." })
    }
    // One that is wrong is shown as that until it is right; one that is not there was mistyped.
    if (pipeline !== undefined && !existsSync(pipeline)) yield* loadPipeline(pipeline)
    const { address, token } = yield* servePage({
      ...input,
      device: deviceLayer(input),
      planner: pipeline === undefined ? undefined : planner(pipeline, input.set, input),
      verifier: verifier(input)
    })
    if (input.json) yield* printJson({ address, token: token ?? null })
    else {
      const { style } = viewOf(process.stdout)
      yield* printLines([
        `The page of ${input.store}: ${address}${token === undefined ? "" : `?token=${token}`}${pipeline === undefined ? "" : "#/plan"}`,
        ...(existsSync(input.store)
          ? []
          : [
              style.faint(
                `There is no ${input.store} yet: what ptmflow run makes shows there, or name another --store.`
              )
            ]),
        style.faint("Ctrl-C stops it.")
      ])
    }
    return yield* Effect.never
  },
  Effect.scoped,
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
