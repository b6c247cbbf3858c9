/**
 * The remote that a command shares results through, and `ptmflow serve-remote`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CurrentRemote, type RemoteError, type RemotePolicy } from "../store/remote/remote.ts"
import { printJson, printLines } from "./output.ts"

/** What was typed about the remote. */
export interface RemoteInput {
  readonly remote: Option.Option<string>
  readonly remotePolicy: RemotePolicy
}

/** The secret that a server of a remote is shown, or wants to be shown. */
const token = (): string | undefined => process.env["PTMFLOW_REMOTE_TOKEN"]

/** Provides the remote where one is set. */
export const withRemote = <A, E, R>(
  { remote, remotePolicy: policy }: RemoteInput,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | RemoteError, R> => {
  const place = Option.getOrElse(remote, () => process.env["PTMFLOW_REMOTE"] ?? "")
  if (place === "") return effect
  return Effect.gen(function* () {
    const { openRemote } = yield* Effect.promise(() => import("../store/remote/open.ts"))
    const objects = yield* openRemote(place, token())
    return yield* Effect.provideService(effect, CurrentRemote, { objects, policy })
  })
}

/** Serves a folder until it is stopped. */
export const serve = Effect.fnUntraced(function* (input: {
  readonly folder: string
  readonly host: string
  readonly port: number
  readonly json: boolean
}) {
  const { serveRemote } = yield* Effect.promise(() => import("../store/remote/serve.ts"))
  const secret = token()
  const address = yield* serveRemote({ ...input, ...(secret === undefined ? {} : { token: secret }) })
  yield* input.json ? printJson({ address }) : printLines([`serving ${input.folder} at ${address}`])
  return yield* Effect.never
}, Effect.scoped)
