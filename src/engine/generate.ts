/**
 * Generation: prompts of different lengths in one batch against a key-value cache, sampled on the device.
 *
 * Prompts are padded on the right: what lies beyond a sequence's position in the cache is never attended to before it is overwritten,
 * so a sequence's text depends on its own prompt, key and the weights alone, not on the rest of the batch.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { DeviceError } from "../device/device.ts"
import { ModelError } from "./model.ts"
import * as Programs from "./programs.ts"
import type { Session } from "./session.ts"

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

const roundUp = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple

/**
 * Answers every request, `batch` (default 64) at a time, in order. `made` are the answers to the first requests, if they are there already; `onBatch`
 * hears all answers so far, after each batch.
 */
export const generate = Effect.fnUntraced(function* <E = never>(
  session: Session,
  requests: ReadonlyArray<Request>,
  sampling: Programs.Sampling,
  options: {
    readonly batch?: number
    readonly made?: ReadonlyArray<Completion>
    readonly onBatch?: (completions: ReadonlyArray<Completion>) => Effect.Effect<void, E>
  } = {}
): Effect.fn.Return<ReadonlyArray<Completion>, E | DeviceError | ModelError> {
  const { config } = session
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
  const completions: Array<Completion> = [...(options.made ?? [])]
  for (let start = completions.length; start < requests.length; start += batch) {
    const part = requests.slice(start, start + batch)
    const made = yield* generateBatch(session, part, sampling, batch, capacity)
    completions.push(...made)
    if (options.onBatch !== undefined) yield* options.onBatch(completions)
  }
  return completions
})

const generateBatch = Effect.fnUntraced(function* (
  session: Session,
  requests: ReadonlyArray<Request>,
  sampling: Programs.Sampling,
  batch: number,
  capacity: number
) {
  const { config } = session
  const decode = yield* session.cached(
    `decode ${batch}x${capacity} ${JSON.stringify(sampling)}`,
    Effect.fnUntraced(function* () {
      const { plan, ports } = Programs.decode(config, batch, capacity, sampling, session.real)
      const loaded = yield* session.load(plan)
      return { loaded, ports, run: (yield* loaded.executable("decode")).run }
    })
  )
  // The last token of a prompt is read by the first decode step.
  const length = Math.min(capacity, roundUp(Math.max(...requests.map((r) => r.prompt.length - 1)), 8))
  if (length > 0) {
    const prefill = yield* session.cached(
      `prefill ${batch}x${length}/${capacity}`,
      Effect.fnUntraced(function* () {
        const { plan, ports } = Programs.prefill(config, { batch, length }, capacity, session.real)
        const loaded = yield* session.load(plan)
        yield* loaded.write(
          ports.positions,
          Int32Array.from({ length: batch * length }, (_, i) => i % length)
        )
        return { loaded, ports, run: (yield* loaded.executable("prefill")).run }
      })
    )
    const ids = new Int32Array(batch * length)
    requests.forEach(({ prompt }, b) => {
      ids.set(prompt.subarray(0, Math.min(prompt.length, length)), b * length)
    })
    yield* prefill.loaded.write(prefill.ports.ids, ids)
    yield* prefill.run()
  }

  const perSequence = (value: (request: Request) => number, absent: number) =>
    Int32Array.from({ length: batch }, (_, b) => (b < requests.length ? value(requests[b]!) : absent))
  const { loaded, ports, run } = decode
  yield* loaded.write(
    ports.ids,
    perSequence((r) => r.prompt.at(-1)!, 0)
  )
  yield* loaded.write(
    ports.positions,
    perSequence((r) => r.prompt.length - 1, 0)
  )
  yield* loaded.write(
    ports.limits,
    perSequence((r) => r.prompt.length - 1 + r.limit, 0)
  )
  yield* loaded.write(
    ports.done,
    perSequence((r) => (r.limit > 0 ? 0 : 1), 1)
  )
  const keys = new Int32Array(2 * batch)
  requests.forEach(({ key }, b) => {
    keys.set([key[0] | 0, key[1] | 0], 2 * b)
  })
  yield* loaded.write(ports.keys, keys)

  yield* run(Math.max(...requests.map((r) => r.limit)))
  const positions = yield* loaded.readIntegers(ports.positions)
  const tokens = yield* loaded.readIntegers(ports.tokens)
  const logProbability = yield* loaded.read(ports.logProbability)
  return requests.map((request, b): Completion => {
    const from = b * capacity + request.prompt.length
    const to = b * capacity + positions[b]! + 1
    return {
      tokens: tokens.slice(from, to),
      logProbabilities: Float32Array.from(logProbability.subarray(from, to))
    }
  })
})
