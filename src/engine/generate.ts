/**
 * Generation: prompts of different lengths in one batch against a key-value cache, sampled on the device.
 *
 * The batch is of slots. A sequence that ends leaves its slot to the next prompt while the others go on (continuous batching, Yu et al. 2022), so a short answer
 * does not wait for a long one. What lies beyond a sequence's position in the cache is never attended to before it is overwritten, so a sequence's text depends on its own prompt,
 * key and the weights alone, not on the rest of the batch.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { ModelError } from "./model.ts"
import * as Programs from "./programs.ts"
import type { Session, SessionError } from "./session.ts"

/** One answer wanted: at most `limit` tokens after `prompt` (at least one token), drawn with a random key of its own. */
export interface Request {
  readonly prompt: Int32Array
  readonly key: readonly [number, number]
  readonly limit: number
}

/**
 * One answer: its tokens (the end token last, if it came), and each token's log-probability under softmax(logits / temperature) as it
 * was drawn, in nats.
 */
export interface Completion {
  readonly tokens: Int32Array
  readonly logProbabilities: Float32Array
}

/** The end token of a sampling that no token ends: answers go on to their limits. */
export const noEndToken = -1

const roundUp = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple

/** Tokens made between looks at which sequences have ended, while prompts wait for a slot. */
const stride = 4

/**
 * Answers every request, `batch` (default 64) at a time; the answers are in the order of the requests. `made` are the answers to the first requests, if they are there already;
 * `onBatch` hears the answers to the first requests, each time that there are more of them. An answer ends with the end token, with one of `stopTokens`, or at its limit.
 */
export const generate = Effect.fnUntraced(function* <E = never>(
  session: Session,
  requests: ReadonlyArray<Request>,
  sampling: Programs.Sampling,
  options: {
    readonly batch?: number
    readonly stopTokens?: ReadonlyArray<number>
    readonly made?: ReadonlyArray<Completion>
    readonly onBatch?: (completions: ReadonlyArray<Completion>) => Effect.Effect<void, E>
  } = {}
): Effect.fn.Return<ReadonlyArray<Completion>, E | SessionError | ModelError> {
  const { config } = session
  const { made = [], onBatch } = options
  let longest = 1
  for (const [index, request] of requests.entries()) {
    if (request.prompt.length === 0) {
      return yield* new ModelError({ place: `requests[${index}].prompt`, message: "a prompt needs at least one token" })
    }
    longest = Math.max(longest, request.prompt.length + request.limit)
  }
  if (longest > config.context) {
    return yield* new ModelError({
      place: "requests",
      message: `a prompt with its answer may reach ${longest} tokens, the model's context is ${config.context}`
    })
  }
  const capacity = Math.min(config.context, roundUp(longest, 16))
  const batch = Math.min(options.batch ?? 64, Math.max(requests.length, 1))
  const slots = yield* makeSlots(session, sampling, batch, capacity, options.stopTokens ?? [])
  const completions: Array<Completion | undefined> = [...made]
  let whole = made.length
  let waiting = made.length
  for (;;) {
    const free = slots.free()
    const left = requests.length - waiting
    // A few prompts at once: a prompt alone would leave most of its pass unused.
    if (left > 0 && (free.length >= Math.min(slots.group, left) || free.length === batch)) {
      const most = free.length === batch ? batch : slots.group
      const members = free.slice(0, Math.min(most, left)).map((slot) => ({ slot, index: waiting++ }))
      yield* slots.fill(members.map(({ index, slot }) => ({ slot, index, request: requests[index]! })))
      if (slots.free().length > 0 && waiting < requests.length) continue
    }
    if (slots.free().length === batch) break
    for (const { completion, index } of yield* slots.advance(waiting < requests.length)) completions[index] = completion
    const before = whole
    while (whole < completions.length && completions[whole] !== undefined) whole++
    if (onBatch !== undefined && whole > before)
      yield* onBatch(completions.slice(0, whole) as ReadonlyArray<Completion>)
  }
  return completions as ReadonlyArray<Completion>
})

/** The slots of one batch: what sequence each holds, and the programs that fill and advance them. */
const makeSlots = Effect.fnUntraced(function* (
  session: Session,
  sampling: Programs.Sampling,
  batch: number,
  capacity: number,
  stopTokens: ReadonlyArray<number>
) {
  const { config } = session
  const { loaded, ports, run } = yield* session.cached(
    `decode ${batch}x${capacity} ${JSON.stringify(sampling)}`,
    Effect.fnUntraced(function* () {
      const at = (slots: number) => Programs.decode(config, slots, capacity, sampling, session.real)
      const { plan, ports } = at(batch)
      const program = `generation of ${capacity} tokens`
      const loaded = yield* session.load(plan, { program, batch, planAt: (slots) => at(slots).plan })
      return { loaded, ports, run: (yield* loaded.executable("decode")).run }
    })
  )
  const group = Math.ceil(batch / 8)
  const prefill = (group: number, length: number) =>
    session.cached(
      `prefill ${group}x${length} of ${batch}x${capacity}`,
      Effect.fnUntraced(function* () {
        const at = (rows: number) => Programs.prefill(config, { batch: rows, length }, batch, capacity, session.real)
        const { plan, ports } = at(group)
        const program = `reading ${length} tokens of prompts`
        const loaded = yield* session.load(plan, {
          program,
          batch,
          planAt: (slots) => at(Math.ceil((group * slots) / batch)).plan
        })
        yield* loaded.write(
          ports.positions,
          Int32Array.from({ length: group * length }, (_, i) => i % length)
        )
        return { loaded, ports, run: (yield* loaded.executable("prefill")).run }
      })
    )
  const held: Array<{ readonly index: number; readonly request: Request } | undefined> = new Array(batch).fill(
    undefined
  )
  const state: { [name in "ids" | "positions" | "limits" | "done" | "keys"]: Int32Array } = {
    ids: new Int32Array(batch),
    positions: new Int32Array(batch),
    limits: new Int32Array(batch),
    done: new Int32Array(batch).fill(1),
    keys: new Int32Array(2 * batch)
  }
  /** Where in a row of tokens an answer has the first token that ends it, if it has. */
  const stopIn = (tokens: Int32Array, slot: number, from: number, to: number) => {
    for (let at = from; at <= to; at++) if (stopTokens.includes(tokens[slot * capacity + at]!)) return at
    return undefined
  }

  return {
    group,
    free: () => held.flatMap((sequence, slot) => (sequence === undefined ? [slot] : [])),
    /** Puts at most `group` sequences into free slots, or when all are free any number. The last token of a prompt is read by the first decoding step. */
    fill: Effect.fnUntraced(function* (
      members: ReadonlyArray<{ readonly slot: number; readonly index: number; readonly request: Request }>
    ) {
      const length = Math.min(
        capacity,
        roundUp(Math.max(...members.map(({ request }) => request.prompt.length - 1)), 8)
      )
      if (length > 0) {
        const rows = members.length > group ? batch : group
        const program = yield* prefill(rows, length)
        const ids = new Int32Array(rows * length)
        const places = new Int32Array(rows).fill(-1)
        members.forEach(({ request: { prompt }, slot }, b) => {
          ids.set(prompt.subarray(0, Math.min(prompt.length, length)), b * length)
          places[b] = slot
        })
        yield* program.loaded.write(program.ports.ids, ids)
        yield* program.loaded.write(program.ports.places, places)
        yield* program.run()
      }
      for (const { index, request, slot } of members) {
        held[slot] = { index, request }
        state.ids[slot] = request.prompt.at(-1)!
        state.positions[slot] = request.prompt.length - 1
        state.limits[slot] = request.prompt.length - 1 + request.limit
        state.done[slot] = request.limit > 0 ? 0 : 1
        state.keys.set([request.key[0] | 0, request.key[1] | 0], 2 * slot)
      }
    }),
    /** Makes tokens until some sequences may have ended, or if nobody waits for their slots until all have; gives those that have, and frees their slots. */
    advance: Effect.fnUntraced(function* (awaited: boolean) {
      for (const name of ["ids", "positions", "limits", "done", "keys"] as const)
        yield* loaded.write(ports[name], state[name])
      const left = state.limits.reduce(
        (n, limit, b) => (state.done[b] === 0 ? Math.max(n, limit - state.positions[b]!) : n),
        0
      )
      const before = state.positions
      if (left > 0) yield* run(awaited || stopTokens.length > 0 ? Math.min(stride, left) : left)
      state.positions = yield* loaded.readIntegers(ports.positions)
      state.ids = yield* loaded.readIntegers(ports.ids)
      state.done = yield* loaded.readIntegers(ports.done)
      if (stopTokens.length === 0 && state.done.every((done, slot) => done === 0 || held[slot] === undefined)) return []
      const tokens = yield* loaded.readIntegers(ports.tokens)
      const logProbability = yield* loaded.read(ports.logProbability)
      const ended: Array<{ readonly index: number; readonly completion: Completion }> = []
      held.forEach((sequence, slot) => {
        if (sequence === undefined) return
        const stop = stopIn(tokens, slot, before[slot]! + 1, state.positions[slot]!)
        if (stop === undefined && state.done[slot] === 0) return
        const from = slot * capacity + sequence.request.prompt.length
        const to = slot * capacity + (stop ?? state.positions[slot]!) + 1
        ended.push({
          index: sequence.index,
          completion: {
            tokens: tokens.slice(from, to),
            logProbabilities: Float32Array.from(logProbability.subarray(from, to))
          }
        })
        held[slot] = undefined
        state.done[slot] = 1
      })
      return ended
    })
  }
})
