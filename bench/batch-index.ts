/**
 * The index of batches at a million records: `npx node bench/batch-index.ts [records]`. A thousand batches a table, as an operator that maps batches adds them.
 * Prints how many were added and found a second, and what files there are.
 */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { makeBatchIndex } from "../src/store/batches.ts"
import { sha256 } from "../src/store/digest.ts"

const count = Number(process.argv[2] ?? 1_000_000)
const perTable = 1000
const folder = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-batch-index-"))

const seconds = async (work: () => Promise<void> | void): Promise<number> => {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

try {
  const file = path.join(folder, "batches.sqlite")
  const scope = sha256("operator and parameters")
  const batch = (n: number) => sha256(`batch ${n}`)
  const index = makeBatchIndex(file, Effect.void)
  let digesting = 0
  const adding = await seconds(async () => {
    for (let first = 0; first < count; first += perTable) {
      const began = performance.now()
      const batches = Array.from({ length: Math.min(perTable, count - first) }, (_, i) => {
        const digest = batch(first + i)
        return { batch: digest, first: 100 * i, rows: 100, digest }
      })
      digesting += (performance.now() - began) / 1000
      await Effect.runPromise(index.add(scope, { digest: sha256(`table ${first}`), bytes: 1 << 20 }, batches))
    }
  })
  const looks = Math.min(count, 100_000)
  let missing = 0
  const again = makeBatchIndex(file, Effect.void)
  const finding = await seconds(() => {
    for (let i = 0; i < looks; i++) if (again.find(scope, batch((i * 7919) % count)) === undefined) missing++
  })
  const files = fs.readdirSync(folder)
  const bytes = files.reduce((sum, name) => sum + fs.statSync(path.join(folder, name)).size, 0)
  console.log(
    `${count} records: added in ${(adding - digesting).toFixed(1)} s (${(count / (adding - digesting)).toFixed(0)} a second), ` +
      `${looks} looked up at ${((finding / looks) * 1e6).toFixed(0)} us each, ${missing} missing; ${files.length} file (${files.join(", ")}), ${bytes} bytes`
  )
} finally {
  fs.rmSync(folder, { recursive: true })
}
