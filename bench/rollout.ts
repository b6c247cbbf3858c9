/**
 * Rollout of prompts and answers of mixed lengths: one at a time, in batches that wait for their longest answer, and with slots that take the next prompt.
 *
 *     npx node bench/rollout.ts [model, small] [prompts, 256] [threads, all]
 */
import * as Effect from "effect/Effect"
import { cpu } from "../src/device/cpu/cpu.ts"
import { generate, type Request } from "../src/engine/generate.ts"
import { initialize, type ModelError } from "../src/engine/model.ts"
import { philox } from "../src/engine/random.ts"
import * as Session from "../src/engine/session.ts"
import { configOf, type ModelName, models } from "./models.ts"
import { randomTokens } from "./ours/work.ts"

const model = (process.argv[2] ?? "small") as ModelName
const count = Number(process.argv[3] ?? 256)
const threads = process.argv[4]
const { vocabulary } = models[model]

/** Prompts of 8 to 23 tokens; answers of 4 to 67, half of them shorter than 16. */
const requests = Array.from({ length: count }, (_, i): Request => {
  const [a, b] = philox([1, 2], [i, 0, 0, 0])
  const share = (b >>> 8) * 2 ** -24
  return { prompt: randomTokens(8 + (a % 16), vocabulary, i), key: [i, 0], limit: 4 + Math.floor(63 * share ** 2.4) }
})
const sampling = { temperature: 1, topK: 0, topP: 1, endToken: -1 }

await Effect.gen(function* () {
  const session = yield* Session.make(initialize(configOf(models[model]), 1))
  const timed = Effect.fnUntraced(function* (
    name: string,
    made: ReadonlyArray<Request>,
    run: Effect.Effect<unknown, Session.SessionError | ModelError>
  ) {
    yield* run
    const [started, before] = [performance.now(), process.cpuUsage()]
    yield* run
    const tokens = made.reduce((n, { limit }) => n + limit, 0)
    const seconds = (performance.now() - started) / 1000
    const { system, user } = process.cpuUsage(before)
    const rate = { wall: tokens / seconds, processor: tokens / ((system + user) / 1e6) }
    const [wall, processor] = [rate.wall.toFixed(0).padStart(6), rate.processor.toFixed(0).padStart(6)]
    console.log(`${name.padEnd(44)} ${wall} new tokens/s, ${processor} a second of processor time`)
    return rate
  })
  const some = requests.filter((_, i) => i % 16 === 0)
  const each = (parts: ReadonlyArray<ReadonlyArray<Request>>) =>
    Effect.forEach(parts, (part) => generate(session, part, sampling), { discard: true })
  const alone = yield* timed("one at a time", some, each(some.map((request) => [request])))
  const parts = Array.from({ length: Math.ceil(count / 64) }, (_, i) => requests.slice(64 * i, 64 * i + 64))
  const waiting = yield* timed("batches of 64 that wait for their longest", requests, each(parts))
  const slots = yield* timed("64 slots", requests, generate(session, requests, sampling))
  for (const by of ["wall", "processor"] as const) {
    const [one, all] = [slots[by] / alone[by], slots[by] / waiting[by]]
    console.log(`slots, by ${by} time: ${one.toFixed(2)} times one at a time, ${all.toFixed(2)} times waiting`)
  }
}).pipe(
  Effect.scoped,
  Effect.provide(cpu(threads === undefined ? {} : { threads: Number(threads) })),
  Effect.runPromise
)
