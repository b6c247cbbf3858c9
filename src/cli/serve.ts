/**
 * `ptmflow serve`: the page.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { serve as servePage } from "../page/server/serve.ts"
import { layer as storeLayer } from "../store/store.ts"
import { type DeviceInput, layer as deviceLayer } from "./device.ts"
import { printJson, printLines, viewOf } from "./output.ts"

/** What was typed after `serve`. */
export interface ServeInput extends DeviceInput {
  readonly host: string
  readonly port: number
  readonly store: string
  readonly json: boolean
}

/** Serves the page until it is stopped, and says where. */
export const serve = Effect.fnUntraced(
  function* (input: ServeInput) {
    const { address, token } = yield* servePage({ ...input, device: deviceLayer(input) })
    if (input.json) yield* printJson({ address, token: token ?? null })
    else {
      const { style } = viewOf(process.stdout)
      yield* printLines([
        `The page of ${input.store}: ${address}${token === undefined ? "" : `?token=${token}`}`,
        style.faint("Ctrl-C stops it.")
      ])
    }
    return yield* Effect.never
  },
  Effect.scoped,
  (effect, { store }) => Effect.provide(effect, storeLayer(store))
)
