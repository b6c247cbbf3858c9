/**
 * Asks a remote for the results that the store has not, before anything is planned.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Artifact } from "../operator/artifact.ts"
import type { RemoteError } from "../store/remote/remote.ts"
import { keyOf, preimageOf } from "./key.ts"
import type { Prepared } from "./prepare.ts"
import type { History } from "./resolve.ts"
import type { Sharing } from "./sharing.ts"

type Outputs = { readonly [port: string]: Artifact } | undefined

/** Looks for each stage whose inputs are known; what is found is an input of others. */
export const consult = Effect.fnUntraced(function* (
  { stages }: Prepared,
  history: History,
  sharing: Sharing
): Effect.fn.Return<void, RemoteError> {
  const results = new Map(stages.map(({ node }) => [node.name, Deferred.makeUnsafe<Outputs, RemoteError>()]))
  yield* Effect.forEach(
    stages,
    ({ node, recipe }) =>
      Effect.gen(function* () {
        const inputs: Record<string, Artifact> = {}
        for (const [port, source] of Object.entries(node.inputs)) {
          const artifact = (yield* Deferred.await(results.get(source.stage)!))?.[source.port]
          if (artifact === undefined) return undefined
          inputs[port] = artifact
        }
        const preimage = preimageOf(node, recipe, inputs)
        const key = keyOf(preimage)
        const here = history.lookup(key)
        if (here !== undefined && here.lost.length === 0) return here.record.outputs
        return (yield* sharing.find(key, preimage))?.outputs
      }).pipe(Effect.onExit((exit) => Deferred.done(results.get(node.name)!, exit))),
    { concurrency: "unbounded", discard: true }
  )
})
