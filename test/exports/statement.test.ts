import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { resolve, upstream } from "../../src/lineage/ledger.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { statementOf } from "../../src/lineage/statement.ts"
import { Store } from "../../src/store/store.ts"
import { filesIn } from "../store/folder.ts"
import { workshop } from "./workshop.ts"

const sha256 = (file: string): string => createHash("sha256").update(fs.readFileSync(file)).digest("hex")

/** The statement of an artifact, through JSON, as it is written. */
const written = Effect.fnUntraced(function* (reference: string) {
  const { journal } = yield* Store
  const node = yield* upstream(yield* resolve(reference))
  const statement = statementOf(node, stageRecord(journal, node.key)!)
  return { node, statement: JSON.parse(JSON.stringify(statement)) as typeof statement }
})

describe("a statement of an artifact", () => {
  it.live("is an in-toto Statement v1 with a SLSA Provenance v1 predicate, field by field", () =>
    Effect.gen(function* () {
      const { start, store } = yield* workshop
      const report = yield* start({})
      const { node, statement } = yield* Effect.provideService(written("measure.measured"), Store, store)
      assert.deepStrictEqual(Object.keys(statement), ["_type", "subject", "predicateType", "predicate"])
      assert.strictEqual(statement._type, "https://in-toto.io/Statement/v1")
      assert.strictEqual(statement.predicateType, "https://slsa.dev/provenance/v1")
      const { buildDefinition, runDetails } = statement.predicate
      const { preimage, seconds, time } = stageRecord(store.journal, node.key)!
      assert.deepStrictEqual(buildDefinition, {
        buildType: "urn:ptmflow:stage:1",
        externalParameters: {
          pipeline: "measuring",
          stage: "measure",
          operator: "measure",
          params: { fails: false, waits: false }
        },
        internalParameters: {
          key: node.key,
          version: 1,
          code: preimage.code,
          packages: preimage.packages,
          device: null,
          numerics: null
        },
        resolvedDependencies: buildDefinition.resolvedDependencies
      })
      assert.deepStrictEqual(runDetails, {
        builder: { id: "urn:ptmflow:executor" },
        metadata: {
          invocationId: report.run,
          startedOn: new Date(time).toISOString(),
          finishedOn: new Date(time + 1000 * seconds).toISOString()
        },
        byproducts: [
          {
            name: "metrics",
            mediaType: "application/json",
            content: Buffer.from(JSON.stringify({ length: 5 })).toString("base64")
          }
        ]
      })
    })
  )

  it.live("has the SHA-256 of the bytes: of what was made, what it was made from, and the files that were read", () =>
    Effect.gen(function* () {
      const { file, start, store } = yield* workshop
      yield* start({})
      const blobs = new Set(
        filesIn(path.join(store.folder, "objects")).map((each) => sha256(path.join(store.folder, "objects", each)))
      )
      const measured = yield* Effect.provideService(written("measure.measured"), Store, store)
      const { resolvedDependencies } = measured.statement.predicate.buildDefinition
      const named = [...measured.statement.subject, ...resolvedDependencies]
      assert.deepStrictEqual(
        named.map(({ name }) => name),
        ["measure.measured/table.arrow", "tidy.tidied/table.arrow"]
      )
      for (const { digest } of named) assert.isTrue(blobs.has(digest.sha256))
      assert.strictEqual(new Set(named.map(({ digest }) => digest.sha256)).size, 2)
      const read = yield* Effect.provideService(written("texts"), Store, store)
      assert.deepStrictEqual(read.statement.predicate.buildDefinition.resolvedDependencies, [
        { name: "texts.txt", digest: { sha256: sha256(file) } }
      ])
    })
  )
})
