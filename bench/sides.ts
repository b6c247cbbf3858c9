/** Sides of a race: which process measures what. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Peer } from "./peers.ts"
import { type Command, start, type Worker, WorkerError } from "./worker.ts"

/** A process that has opened its work and done it once. */
export interface Side {
  readonly name: string
  readonly variant: string
  readonly version: string
  readonly worker: Worker
}

/** Our server: of the checkout, or of a bundle (see `gpu/pack.ts`). */
const serve = ["ours/serve.ts", "serve.mjs"].map((name) => join(import.meta.dirname, name)).find(existsSync)!

export const oursCommand: Command = { file: process.execPath, arguments: [serve] }

/** What opening must show: that both sides have the same model, and that a fresh model knows nothing. */
export interface Expected {
  readonly parameters?: number
  readonly tokens?: number
  /** Nats a token. */
  readonly loss?: number
}

/** Starts a process and has it open its work; refuses one that does other work than was asked. */
export const open = Effect.fnUntraced(function* (
  name: string,
  variant: string,
  command: Command,
  request: object,
  expected: Expected = {}
): Effect.fn.Return<Side, WorkerError, Scope.Scope> {
  const worker = yield* start(variant === "" ? name : `${name}, ${variant}`, command)
  const answer = yield* worker.ask({ do: "open", ...request })
  const wrong = (what: string, got: number | undefined, wanted: number) =>
    new WorkerError({ side: worker.side, message: `it does other work: ${what} is ${got}, not ${wanted}` })
  if (expected.parameters !== undefined && answer.parameters !== expected.parameters) {
    return yield* wrong("the number of parameters", answer.parameters, expected.parameters)
  }
  if (expected.tokens !== undefined && answer.tokens !== expected.tokens) {
    return yield* wrong("the number of tokens", answer.tokens, expected.tokens)
  }
  if (expected.loss !== undefined && !(Math.abs((answer.loss ?? NaN) - expected.loss) < 0.3)) {
    return yield* wrong("the first loss", answer.loss, expected.loss)
  }
  return { name, variant: answer.variant ?? variant, version: answer.version ?? "", worker }
})

/** The same for a peer that may not be there; `request` is for its own dialect. */
export const openPeer = (name: string, variant: string, peer: Peer, request: object, expected?: Expected) =>
  peer.found
    ? open(name, variant, peer.command, request, expected)
    : Effect.fail(new WorkerError({ side: name, message: peer.message }))
