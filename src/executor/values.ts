/**
 * Values in memory by artifact digest, so that a stage need not decode what another has just made or read.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Artifact, ArtifactError } from "../operator/artifact.ts"
import { canonicalJson } from "../operator/digest.ts"
import type { Port } from "../operator/port.ts"
import type { Store } from "../store/store.ts"

/** The least recently used values go when there are more than this, or when their artifacts hold more bytes. */
const MOST = 64
const MOST_BYTES = 1 << 30

interface Held {
  readonly value: unknown
  readonly bytes: number
}

const held = new Map<string, Held>()
let heldBytes = 0

const idOf = (folder: string, port: Port<unknown>, artifact: Artifact): string =>
  `${folder}\n${port.kind} ${artifact.digest}\n${canonicalJson(port.contract)}`

const drop = (id: string) => {
  heldBytes -= held.get(id)?.bytes ?? 0
  held.delete(id)
}

const hold = (id: string, artifact: Artifact, value: unknown) => {
  drop(id)
  const bytes = Object.values(artifact.parts).reduce((sum, blob) => sum + blob.bytes, 0)
  held.set(id, { value, bytes })
  heldBytes += bytes
  for (const oldest of held.keys()) {
    if (oldest === id || (held.size <= MOST && heldBytes <= MOST_BYTES)) break
    drop(oldest)
  }
}

/** The value of an artifact: from memory, or decoded from the store. */
export const decodeValue = (
  store: Store["Service"],
  port: Port<unknown>,
  artifact: Artifact
): Effect.Effect<unknown, ArtifactError> =>
  Effect.suspend(() => {
    const id = idOf(store.folder, port, artifact)
    const known = held.get(id)
    if (known !== undefined) {
      held.delete(id)
      held.set(id, known)
      return Effect.succeed(known.value)
    }
    return Effect.tap(port.decode(artifact, store.source), (value) => Effect.sync(() => hold(id, artifact, value)))
  })

/** Writes a value to the store; it stays in memory if its port lets it. */
export const encodeValue = (
  store: Store["Service"],
  port: Port<unknown>,
  value: unknown
): Effect.Effect<Artifact, ArtifactError> =>
  Effect.tap(port.encode(value, store.sink), (artifact) =>
    Effect.sync(() => {
      if (port.resident === true) hold(idOf(store.folder, port, artifact), artifact, value)
    })
  )
