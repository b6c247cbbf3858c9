/**
 * `node main.ts <plan|run> <pipeline> <store> [path=value ...]`: prints events as JSON lines, and last the report, the plan or the error.
 */
import * as Effect from "effect/Effect"
import { plan } from "../../../src/executor/plan.ts"
import { run } from "../../../src/executor/run.ts"
import * as Pipeline from "../../../src/pipeline/pipeline.ts"
import * as Store from "../../../src/store/store.ts"

const [command, file, folder, ...settings] = process.argv.slice(2)
const { pipeline } = (await import(`./${file}`)) as { readonly pipeline: Pipeline.Pipeline<unknown, never> }
const print = (value: unknown) => Effect.sync(() => process.stdout.write(`${JSON.stringify(value)}\n`))

const main = Effect.gen(function* () {
  const graph = yield* Pipeline.build(
    pipeline,
    settings.map((setting) => {
      const [path, value] = setting.split("=")
      return { path: path!, value: value! }
    })
  )
  yield* print(command === "plan" ? yield* plan(graph) : yield* run(graph, { onEvent: print }))
})

const fiber = Effect.runFork(
  main.pipe(
    Effect.provide(Store.layer(folder!)),
    Effect.catch((error) =>
      Effect.andThen(
        print(error),
        Effect.sync(() => process.exit(1))
      )
    )
  )
)
process.on("SIGINT", () => fiber.interruptUnsafe())
