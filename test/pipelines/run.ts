/** Runs the flagship pipeline in a process of its own: `node run.ts <store> <settings as JSON>`; prints events as JSON lines. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SaveInterval } from "../../operators/pace.ts"
import chatgpt from "../../pipelines/chatgpt.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { Event } from "../../src/executor/event.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer } from "../../src/store/store.ts"

const [store, settings] = process.argv.slice(2) as [string, string]
const encode = Schema.encodeSync(Event)

const program = Effect.gen(function* () {
  const wanted = Object.entries(JSON.parse(settings) as Record<string, string>)
  const graph = yield* Pipeline.build(
    chatgpt,
    wanted.map(([path, value]) => ({ path, value }))
  )
  yield* run(graph, {
    onEvent: (event) => Effect.sync(() => process.stdout.write(`${JSON.stringify(encode(event))}\n`))
  })
})

await program.pipe(
  Effect.provideService(SaveInterval, 50),
  Effect.provide(layer(store)),
  Effect.provide(cpu({ threads: 1 })),
  Effect.runPromise
)
