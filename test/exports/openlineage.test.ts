import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { eventsOf } from "../../src/exports/openlineage.ts"
import { RunEvent } from "../../src/exports/openlineage-event.ts"
import { historyOf } from "../../src/lineage/history.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { logFolder } from "../../src/lineage/run-log.ts"
import { Store } from "../../src/store/store.ts"
import { formProblems, schemaProblems } from "./openlineage-schemas.ts"
import { workshop } from "./workshop.ts"

const decode = Schema.decodeUnknownSync(RunEvent, { onExcessProperty: "error" })

type Event = typeof RunEvent.Type

/** `stage: what happened`, in order. */
const told = (events: ReadonlyArray<Event>) => events.map(({ eventType, job }) => `${job.name}: ${eventType}`)

const of = (events: ReadonlyArray<Event>, stage: string, type: Event["eventType"]): Event =>
  events.find(({ eventType, job }) => eventType === type && job.name === `measuring.${stage}`)!

const outputOf = (events: ReadonlyArray<Event>, stage: string) => of(events, stage, "COMPLETE").outputs[0]!

/** A Python that has OpenLineage's own client, whose classes are made from the specification's JSON schemas. */
const python = process.env["PTMFLOW_OPENLINEAGE_PYTHON"]
if (python === undefined) {
  console.log("not compared with OpenLineage's own classes: PTMFLOW_OPENLINEAGE_PYTHON names no Python that has them")
}

/** A folder with the JSON schemas of OpenLineage's specification, of events and of facets. */
const spec = process.env["PTMFLOW_OPENLINEAGE_SPEC"]
if (spec === undefined) {
  console.log("not compared with OpenLineage's JSON schemas: PTMFLOW_OPENLINEAGE_SPEC names no folder that has them")
}

/** Whether OpenLineage takes events: the formats always, the JSON schemas and the classes where they are there. */
const checkWithTheirs = (events: ReadonlyArray<Event>): void => {
  assert.deepStrictEqual(formProblems(events), [])
  if (spec !== undefined) assert.deepStrictEqual(schemaProblems(spec, events).problems, [])
  checkWithClasses(events)
}

/** Whether the classes take events; `test/exports/openlineage-check.py` says what it compares. */
const checkWithClasses = (events: ReadonlyArray<Event>): void => {
  if (python === undefined) return
  const script = fileURLToPath(new URL("openlineage-check.py", import.meta.url))
  const input = events.map((event) => JSON.stringify(event)).join("\n")
  const { status, stderr, stdout } = spawnSync(python, [script], { input, encoding: "utf8" })
  assert.strictEqual(status, 0, `${stdout}${stderr}`)
}

/** The events of the newest run, as they are written. */
const eventsIn = (store: Store["Service"]) =>
  Effect.gen(function* () {
    const history = yield* historyOf()
    const make = eventsOf({
      ...history.run,
      store: store.folder,
      version: "9.9.9",
      record: (key) => stageRecord(store.journal, key)
    })
    return history.entries.flatMap(make)
  }).pipe(Effect.provideService(Store, store))

describe("a run as OpenLineage events", () => {
  it.live("has a start and an end of every stage, in the run of the pipeline, with what it took and made", () =>
    Effect.gen(function* () {
      const { start, store } = yield* workshop
      const report = yield* start({})
      const all = yield* eventsIn(store)
      for (const event of all) assert.deepStrictEqual(decode(JSON.parse(JSON.stringify(event))), event)
      checkWithTheirs(all)
      assert.deepStrictEqual(told(all), [
        "measuring: START",
        ...["texts", "tidy", "measure", "count"].flatMap((stage) => [
          `measuring.${stage}: START`,
          `measuring.${stage}: COMPLETE`
        ]),
        "measuring: COMPLETE"
      ])
      const whole = all[0]!.run.runId
      const ids = new Set(all.map(({ run }) => run.runId))
      assert.strictEqual(ids.size, 5)
      for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      for (const { job, run } of all.slice(1, -1)) {
        assert.deepStrictEqual(run.facets.parent?.run.runId, whole)
        assert.deepStrictEqual(run.facets.parent?.job, { namespace: "ptmflow", name: "measuring" })
        assert.match(job.facets.sourceCodeLocation!.url, /^file:.*test\/exports\/pipeline\.ts#L\d+$/)
      }
      const begun = of(all, "measure", "START")
      assert.deepStrictEqual(
        begun.inputs.map(({ name }) => name),
        ["measuring.tidy.tidied"]
      )
      const { facets, outputFacets } = outputOf(all, "tidy")
      const { artifacts } = report.stages.find(({ stage }) => stage === "tidy")!
      assert.strictEqual(facets.version?.datasetVersion, artifacts["tidied"]!.digest)
      assert.strictEqual(facets.datasetType?.datasetType, "TABLE")
      assert.deepStrictEqual(
        facets.schema?.fields.map(({ name, ordinal_position }) => [name, ordinal_position]),
        [
          ["name", 1],
          ["text", 2],
          ["constant", 3]
        ]
      )
      assert.strictEqual(outputFacets.outputStatistics.rowCount, 3)
      assert.strictEqual(outputFacets.outputStatistics.size, artifacts["tidied"]!.parts["table.arrow"]!.bytes)
      const [source] = of(all, "texts", "COMPLETE").inputs
      assert.deepStrictEqual([source?.namespace, source?.name], ["file", "texts.txt"])
    })
  )

  it.live("says which columns a column comes from: what the operator declares, else all that it takes", () =>
    Effect.gen(function* () {
      const { start, store } = yield* workshop
      yield* start({})
      const all = yield* eventsIn(store)
      const from = (dataset: string, field: string, subtype?: string) => ({
        namespace: "ptmflow",
        name: `measuring.${dataset}`,
        field,
        ...(subtype === undefined ? {} : { transformations: [{ type: "DIRECT", subtype }] })
      })
      assert.deepStrictEqual(outputOf(all, "tidy").facets.columnLineage?.fields, {
        name: { inputFields: [from("texts.texts", "id", "IDENTITY")] },
        text: { inputFields: [from("texts.texts", "text", "TRANSFORMATION")] },
        constant: { inputFields: [] }
      })
      // It takes no other columns of the table, so that it cannot depend on them.
      const seen = ["name", "text"].map((field) => from("tidy.tidied", field))
      assert.deepStrictEqual(outputOf(all, "measure").facets.columnLineage?.fields, {
        name: { inputFields: seen },
        length: { inputFields: seen }
      })
      assert.isUndefined(outputOf(all, "texts").facets.columnLineage)
      assert.isUndefined(outputOf(all, "count").facets.schema)
    })
  )

  it.live(
    "of reused stages has the same outputs, and says where they were made; without a log it has all but the reports",
    () =>
      Effect.gen(function* () {
        const { start, store } = yield* workshop
        const first = yield* start({})
        const made = yield* eventsIn(store)
        yield* start({})
        const reused = yield* eventsIn(store)
        checkWithTheirs(reused)
        assert.deepStrictEqual(told(reused), told(made))
        for (const stage of ["texts", "tidy", "measure", "count"]) {
          assert.deepStrictEqual(outputOf(reused, stage), outputOf(made, stage))
          const { facets } = of(reused, stage, "COMPLETE").run
          assert.deepStrictEqual([facets.ptmflow.status, facets.ptmflow.madeIn], ["reused", first.run])
        }
        fs.rmSync(logFolder(store.folder), { recursive: true })
        const without = yield* eventsIn(store)
        checkWithTheirs(without)
        assert.deepStrictEqual(told(without), told(reused))
        const outputs = (all: ReadonlyArray<Event>) => all.map(({ outputs, run }) => [run.runId, outputs])
        assert.deepStrictEqual(outputs(without), outputs(reused))
      })
  )

  it.live("of a failed run has a failure with its message, and aborts what needed it", () =>
    Effect.gen(function* () {
      const { start, store } = yield* workshop
      yield* Effect.flip(start({ fails: "true" }))
      const all = yield* eventsIn(store)
      checkWithTheirs(all)
      assert.deepStrictEqual(told(all).slice(-5), [
        "measuring.measure: START",
        "measuring.measure: FAIL",
        "measuring.count: START",
        "measuring.count: ABORT",
        "measuring: FAIL"
      ])
      const { errorMessage } = of(all, "measure", "FAIL").run.facets
      assert.strictEqual(errorMessage?.message, "OperatorError: it is too short")
      assert.strictEqual(of(all, "count", "ABORT").run.facets.ptmflow.because, "measure")
      assert.deepStrictEqual(
        of(all, "measure", "FAIL").inputs.map(({ name }) => name),
        ["measuring.tidy.tidied"]
      )
    })
  )

  it.live("is refused with a time, an id or a version of a facet that is none", () =>
    Effect.gen(function* () {
      const { start, store } = yield* workshop
      yield* start({})
      const [first] = yield* eventsIn(store)
      const { run } = first!
      const engine = {
        ...run.facets.processing_engine,
        _schemaURL: "https://openlineage.io/spec/facets/9-0-0/X.json#/$defs/X"
      }
      const facets = { ...run.facets, processing_engine: engine }
      const places = formProblems([{ ...first!, eventTime: "today", run: { runId: "1", facets } }]).map(
        (problem) => problem.split(":")[0]
      )
      assert.deepStrictEqual(places, ["event 0/eventTime", "event 0/run/runId", "event 0/run/facets/processing_engine"])
    })
  )

  it.live("of an interrupted run aborts what ran", () =>
    Effect.gen(function* () {
      const { start, store } = yield* workshop
      const reached = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(start({ waits: "true" }, Deferred.succeed(reached, undefined)))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      const all = yield* eventsIn(store)
      checkWithTheirs(all)
      assert.deepStrictEqual(told(all).slice(-3), [
        "measuring.measure: START",
        "measuring.measure: ABORT",
        "measuring: ABORT"
      ])
    })
  )
})
