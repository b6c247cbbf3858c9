/**
 * Verifying from the page: one at a time, followed while it goes on, and stopped when a person says so.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Store } from "../../store/store.ts"
import type { VerifyEvent } from "../../verify/event.ts"
import type { VerifyRequest, Verifying as View } from "../answers.ts"
import { artifactView, findArtifact } from "./artifact.ts"
import { PageError } from "./refusal.ts"
import { verifiedView } from "./verified.ts"

/** Verifies an artifact (`<stage key>:<port>`), and tells what happens. Whoever interrupts it ends it. */
export type Verifier = (request: VerifyRequest, onEvent: (event: VerifyEvent) => void) => Effect.Effect<void, PageError>

/** The verification that goes on, or was the last. */
export interface Verifying {
  readonly view: () => View
  /** Begins one, if none goes on. */
  readonly start: (request: VerifyRequest) => Effect.Effect<void, unknown, Store>
  /** Ends the one that goes on. */
  readonly stop: Effect.Effect<void>
}

const nothing: View = {
  version: 0,
  state: "none",
  of: null,
  depth: null,
  sample: null,
  began: null,
  stage: null,
  step: null,
  steps: null,
  found: [],
  error: null
}

const busy = (of: string) =>
  new PageError({
    status: 409,
    place: "verify",
    message: `${of} is being verified`,
    next: "Wait until it is done, or stop it."
  })

/** Verifies with `verifier` until the scope closes; what then goes on is ended with it. */
export const verifying = Effect.fnUntraced(function* (
  verifier: Verifier
): Effect.fn.Return<Verifying, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let view = nothing
  let running: Fiber.Fiber<void> | undefined
  const change = (changes: Partial<View>) => {
    view = { ...view, ...changes, version: view.version + 1 }
  }
  const take = (event: VerifyEvent) => {
    switch (event._tag) {
      case "Stage":
        return change({ stage: event.stage, step: null, steps: null })
      case "Progress":
        return change({ stage: event.stage, step: event.step, steps: event.steps })
      case "Verdict":
        return change({ stage: null, step: null, steps: null, found: [...view.found, verifiedView(event.verified)] })
    }
  }
  const ended = { stage: null, step: null, steps: null }
  const start = Effect.fnUntraced(function* (request: VerifyRequest) {
    const { artifact, key, port, stage } = yield* findArtifact(request.artifact)
    if (view.state === "running") return yield* busy(view.of!.name)
    const { depth, sample } = request
    const began = yield* Clock.currentTimeMillis
    const of = artifactView(artifact, stage, key, port)
    change({ ...nothing, version: view.version, state: "running", of, depth, sample, began })
    const work = verifier({ artifact: `${key}:${port}`, depth, sample }, take).pipe(
      Effect.match({
        onSuccess: () => change({ ...ended, state: "done" }),
        onFailure: ({ message, next }) => change({ ...ended, state: "failed", error: { message, next } })
      }),
      Effect.onInterrupt(() => Effect.sync(() => change({ ...ended, state: "stopped" })))
    )
    running = yield* Effect.forkIn(work, scope)
  })
  const stop = Effect.suspend(() => (running === undefined ? Effect.void : Fiber.interrupt(running)))
  return { view: () => view, start, stop: Effect.asVoid(stop) }
})

/** Where the server cannot verify. */
export const noVerifying: Verifying = {
  view: () => nothing,
  start: () =>
    Effect.fail(
      new PageError({
        status: 405,
        place: "verify",
        message: "this server was started without a way to verify",
        next: "ptmflow serve has one; or take ptmflow verify."
      })
    ),
  stop: Effect.void
}
