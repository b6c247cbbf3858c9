/** Runs of the pipeline of texts in a new store. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { run } from "../../src/executor/run.ts"
import * as RunLog from "../../src/executor/run-log.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { measuring } from "./pipeline.ts"

/** A store, and runs in it as the command line does them, of a pipeline that measures the lines of `file`. */
export const workshop = Effect.gen(function* () {
  const folder = yield* newFolder
  const file = path.join(folder, "texts.txt")
  fs.writeFileSync(file, " one\ntwo \nthree")
  const store = yield* open(path.join(folder, "store"))
  const start = Effect.fnUntraced(
    function* (settings: Record<string, string>, onMeasure?: Effect.Effect<unknown>) {
      const all = Object.entries({ file, ...settings }).map(([path, value]) => ({ path, value }))
      const graph = yield* Pipeline.build(measuring, all)
      const scope = yield* Scope.make()
      const log = yield* RunLog.make(store.folder, graph).pipe(Effect.provideService(Scope.Scope, scope))
      const running = run(graph, {
        onEvent: (event) =>
          Effect.andThen(
            log(event),
            event._tag === "StageProgress" && onMeasure !== undefined ? onMeasure : Effect.void
          )
      })
      return yield* running.pipe(Effect.onExit(() => Scope.close(scope, Exit.void)))
    },
    Effect.provideService(Store, store)
  )
  return { store, file, start }
})
