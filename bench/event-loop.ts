/**
 * How long the event loop is held while a model is trained, and how soon an interrupted step ends.
 *
 *     npx node bench/event-loop.ts [small | 124M | ...] [steps]
 *
 * A timer of 1 ms runs beside the work (`monitorEventLoopDelay`): what it waited longer than that is the hold.
 */
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Windows from "../operators/windows.ts"
import { cpu } from "../src/device/cpu/cpu.ts"
import { targetCount } from "../src/engine/batch.ts"
import { initializeInTurns } from "../src/engine/model.ts"
import { adamW } from "../src/engine/optimizer.ts"
import * as Session from "../src/engine/session.ts"
import { configOf, type ModelName, models } from "./models.ts"

const shape = models[(process.argv[2] ?? "small") as ModelName]
const steps = Number(process.argv[3] ?? 20)

const delay = monitorEventLoopDelay({ resolution: 1 })

/** Runs an effect, prints its time and the longest hold (ms), and gives the time. */
const watch = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    delay.reset()
    delay.enable()
    const started = performance.now()
    const value = yield* effect
    const took = performance.now() - started
    // The timer gets the turn that it waits for, if the work ended with a hold.
    yield* Effect.sleep(5)
    delay.disable()
    process.stdout.write(
      `${name.padEnd(28)} ${took.toFixed(0).padStart(7)} ms   longest hold ${Math.max(0, delay.max / 1e6 - 1).toFixed(1)} ms\n`
    )
    return { took, value }
  })

const program = Effect.gen(function* () {
  const { value: weights } = yield* watch("weights are drawn", initializeInTurns(configOf(shape), 1))
  const { value: session } = yield* watch("session", Session.make(weights))
  const tokens = Int32Array.from({ length: 100_000 }, (_, i) => (Math.imul(i, 7919) >>> 3) % shape.vocabulary)
  const step = (index: number) =>
    Effect.gen(function* () {
      const batch = Windows.random(tokens, shape.batch, shape.context, 1, index)
      yield* session.languageModelLoss(batch, targetCount(batch))
      yield* session.update(adamW, 1e-4)
    })
  yield* watch("first step (compiles, plans)", step(0))
  const { took } = yield* watch(
    `${steps} steps`,
    Effect.forEach(Array.from({ length: steps }), (_, i) => step(i + 1))
  )
  const fiber = yield* Effect.forkChild(step(steps + 1))
  yield* Effect.sleep(took / steps / 3)
  const { took: left } = yield* watch("an interrupted step ends", Fiber.interrupt(fiber))
  process.stdout.write(`that is ${((left / took) * steps * 100).toFixed(0)}% of a step\n`)
  yield* watch("weights are read", session.weights)
  yield* watch("moments are read", session.optimizerState)
}).pipe(Effect.scoped)

await Effect.runPromise(Effect.provide(program, cpu()))
