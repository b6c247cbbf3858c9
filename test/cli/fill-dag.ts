/** `node fill-dag.ts <folder> <stages>`: a folder in which the pipeline of the benchmark `dag` has run, on a disk that is not waited for. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { dagOf } from "../../bench/dag.ts"
import pipeline from "../../bench/ours/dag.ts"
import { run } from "../../src/executor/run.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { CurrentDisk, type Disk, nodeDisk } from "../../src/store/disk.ts"
import * as Store from "../../src/store/store.ts"

const [folder, stages] = process.argv.slice(2) as [string, string]

const quick: Disk = {
  ...nodeDisk,
  open: (file, how) => Effect.map(nodeDisk.open(file, how), (open) => ({ ...open, sync: Effect.void })),
  syncFolder: () => Effect.void
}

process.chdir(folder)
fs.mkdirSync("src")
for (const { name, parents } of dagOf(Number(stages))) {
  if (parents.length === 0) fs.writeFileSync(path.join("src", `${name}.txt`), name)
}
// Files that are this young are not trusted to be what they were (see store/files.ts).
await new Promise((resolve) => setTimeout(resolve, 50))
const settings = [
  { path: "folder", value: "src" },
  { path: "stages", value: stages }
]
await Effect.runPromise(
  Effect.flatMap(Pipeline.build(pipeline, settings), (graph) => run(graph)).pipe(
    Effect.provide(Store.layer(".ptmflow")),
    Effect.provideService(CurrentDisk, quick)
  )
)
