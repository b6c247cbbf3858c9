/**
 * A remote by what a person calls it: a folder, or an address.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { folderRemote } from "./folder.ts"
import { httpRemote } from "./http.ts"
import { RemoteError, type RemoteObjects } from "./remote.ts"

/** The remote of a folder, or of an `http:` or `https:` address. Nothing is asked of it yet. */
export const openRemote = (place: string, token: string | undefined): Effect.Effect<RemoteObjects, RemoteError> => {
  if (!/^[a-z][a-z0-9+.-]+:/i.test(place)) return Effect.succeed(folderRemote(place))
  const address = URL.canParse(place) ? new URL(place) : undefined
  if (address?.protocol === "http:" || address?.protocol === "https:") return httpRemote(address, token)
  const named = place.replace(/\/\/[^@/]*@/, "//")
  const message = `${named} is no remote: name a folder, or an address that begins with https:// or http://`
  return Effect.fail(new RemoteError({ reason: "refused", place: named, message }))
}
