/** Where stages run: what they ask for, who gets which device when, and what of it is in keys and records. */
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import type { Device, DeviceKind, DeviceShape } from "../../src/device/device.ts"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import type { Resources } from "../../src/operator/resources.ts"
import type { Output } from "../../src/pipeline/output.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { layer, Store } from "../../src/store/store.ts"
import { fake, having } from "./fake-devices.ts"
import { greedy, meetsOff, meetsOn, off, on, one, seen } from "./placed.ts"
import { ran } from "./project.ts"

const folder = fs.mkdtempSync(path.join(tmpdir(), "ptmflow-devices-"))
afterAll(() => fs.rmSync(folder, { recursive: true }))

/** One store for all, as the code is read once then. */
const inStore = <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.provide(effect, layer(path.join(folder, "store")))

let numbers = 0
/** A number that no stage had before. */
const fresh = () => ({ params: { n: ++numbers } })

interface Node {
  readonly left: number
  readonly right: number
  readonly where: "none" | "run's" | DeviceKind
  readonly milliseconds: number
}

const nodeOf: fc.Arbitrary<Node> = fc.record({
  left: fc.nat(),
  right: fc.nat(),
  where: fc.constantFrom("none", "run's", "cuda", "cpu"),
  milliseconds: fc.nat(4)
})

/** `salt` is in all keys: sums of other graphs may be the same. */
const pipelineOf = (nodes: ReadonlyArray<Node>, salt: number) =>
  Pipeline.make("placed", {}, (p) => {
    const made: Array<Output<number, Device>> = [p.add(one, { params: { n: salt } }).n]
    nodes.forEach(({ left, milliseconds, right, where }, i) => {
      const name = `s${i}`
      const inputs = { left: made[left % made.length]!, right: made[right % made.length]! }
      const options = { name, inputs, params: { name: `${salt} ${name}`, milliseconds } }
      if (where === "none") made.push(p.add(off, options).n)
      else made.push(p.add(on, { ...options, device: where === "run's" ? "auto" : where }).n)
    })
    return Object.fromEntries(made.map((output, i) => [`o${i}`, output]))
  })

/** One stage on a device. */
const lone = (
  placement: { readonly device?: DeviceKind; readonly resources?: Resources },
  numerics: "same" | "any" = "same",
  from = fresh()
) =>
  Pipeline.make("lone", { numerics }, (p) => {
    const { n } = p.add(one, from)
    return p.add(on, { inputs: { left: n, right: n }, params: { name: "on", milliseconds: 0 }, ...placement })
  })

type OnDevice = ReturnType<typeof lone>

const start = (pipeline: OnDevice) => Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph))

describe("devices of a run", () => {
  it.live("random graphs: one stage at a time on a device, all done, each where it was to be", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(nodeOf, { minLength: 1, maxLength: 16 }),
          fc.integer({ min: 1, max: 3 }),
          fc.integer({ min: 1, max: 3 }),
          async (nodes, cards, concurrency) => {
            seen.clear()
            const salt = ++numbers
            const shapes = [...Array.from({ length: cards }, () => fake("cuda", 80e9)), fake("cpu", 32e9)]
            const report = await Pipeline.build(pipelineOf(nodes, salt)).pipe(
              Effect.flatMap((graph) => run(graph, { concurrency })),
              Effect.provide(having(...shapes)),
              inStore,
              Effect.runPromise
            )
            assert.strictEqual(ran(report).length, nodes.length + 1)
            for (const [where, most] of seen.most) assert.isAtMost(most, where === "none" ? concurrency : 1)
            nodes.forEach(({ where }, i) => {
              const at = seen.places.get(`${salt} s${i}`)!
              assert.strictEqual(at === "none" ? "none" : at.kind, where === "run's" ? "cuda" : where)
            })
          }
        ),
        { numRuns: 20 }
      )
    )
  )

  it.live("as many stages at once as there are cards", () =>
    inStore(
      Effect.gen(function* () {
        seen.clear()
        const nodes = Array.from({ length: 6 }, (): Node => ({ left: 0, right: 0, where: "cuda", milliseconds: 40 }))
        const cards = [fake("cuda", 80e9), fake("cuda", 80e9), fake("cuda", 80e9)]
        // All from the first stage: none waits for another's result. They take no core from each other.
        const wide = Pipeline.make("wide", {}, (p) => {
          const { n } = p.add(one, fresh())
          const stages = nodes.map(({ milliseconds }, i) => {
            const name = `s${i}`
            return [name, p.add(on, { name, inputs: { left: n, right: n }, params: { name, milliseconds } }).n]
          })
          return Object.fromEntries(stages) as { readonly [name: string]: Output<number, Device> }
        })
        let now = 0
        let most = 0
        const counting = Effect.flatMap(Pipeline.build(wide), (graph) =>
          run(graph, {
            concurrency: 1,
            onEvent: (event) =>
              Effect.sync(() => {
                if ("operator" in event && event.operator !== "on") return
                if (event._tag === "StageStarted") most = Math.max(most, ++now)
                if (event._tag === "StageFinished") now--
              })
          })
        )
        yield* Effect.provide(counting, having(...cards))
        assert.strictEqual(most, 3)
        assert.strictEqual(seen.most.size, 3)
      })
    )
  )

  it.live("a stage on a GPU and one that needs none run side by side, also on one core", () =>
    inStore(
      Effect.gen(function* () {
        const both = Pipeline.make("both", {}, (p) => ({ a: p.add(meetsOff).n, b: p.add(meetsOn).n }))
        const graph = yield* Pipeline.build(both)
        const report = yield* Effect.provide(run(graph, { concurrency: 1 }), having(fake("cuda", 80e9)))
        assert.strictEqual(ran(report).length, 2)
      })
    )
  )

  it.effect("what a stage needs and no device has is told when it is planned, with the stage and the need", () =>
    inStore(
      Effect.gen(function* () {
        const refused = (shapes: ReadonlyArray<DeviceShape>, pipeline: OnDevice) =>
          Effect.flatMap(Pipeline.build(pipeline), plan).pipe(Effect.provide(having(...shapes)), Effect.flip)
        const large = Pipeline.make("large", {}, (p) => p.add(greedy))
        const small = yield* refused([fake("cuda", 24e9), fake("cuda", 16e9)], large)
        assert.deepInclude(small, { _tag: "PlanError", place: "greedy", cause: "ResourceError" })
        assert.strictEqual(
          small.message,
          "stage greedy needs a device with 40.0 GB of memory, and there is cuda:0 with 24.0 GB, cuda:1 with 16.0 GB"
        )
        const none = yield* refused([fake("cpu", 64e9)], large)
        assert.strictEqual(none.message, "stage greedy needs a GPU, and this run computes on the cpu device")
        const absent = yield* refused([fake("cpu", 64e9)], lone({ device: "tfjs" }))
        assert.strictEqual(absent.message, "stage on: this machine has no tfjs")
        const more = yield* refused([fake("cpu", 64e9)], lone({ resources: { memory: 65e9 } }))
        assert.strictEqual(
          more.message,
          "stage on needs a device with 65.0 GB of memory, and there is cpu with 64.0 GB"
        )
      })
    )
  )

  it.effect("it runs on the device that has what it needs", () =>
    inStore(
      Effect.gen(function* () {
        seen.clear()
        const [small, large] = [fake("cuda", 24e9, "small"), fake("cuda", 80e9, "large")]
        yield* Effect.provide(start(Pipeline.make("large", {}, (p) => p.add(greedy))), having(small, large))
        assert.strictEqual(seen.places.get("greedy"), large)
      })
    )
  )

  it.effect("needs are in no key; the bits of the device are, unless the pipeline accepts any", () =>
    inStore(
      Effect.gen(function* () {
        const machine = having(fake("cpu", 64e9), fake("cuda", 80e9))
        const on = (pipeline: OnDevice) => Effect.map(Effect.provide(start(pipeline), machine), ran)
        const n = fresh()
        assert.deepStrictEqual(yield* on(lone({}, "same", n)), ["one", "on"])
        assert.deepStrictEqual(yield* on(lone({ resources: { memory: 1e9 } }, "same", n)), [])
        assert.deepStrictEqual(yield* on(lone({ device: "cpu" }, "same", n)), [])
        assert.deepStrictEqual(yield* on(lone({ device: "cuda" }, "same", n)), ["on"])
        assert.deepStrictEqual(yield* on(lone({ device: "cuda" }, "any", n)), ["on"])
        assert.deepStrictEqual(yield* on(lone({ device: "cpu" }, "any", n)), [])
      })
    )
  )

  it.effect("the record says what ran where", () =>
    inStore(
      Effect.gen(function* () {
        const machine = having(fake("cpu", 64e9), fake("cuda", 80e9, "a card"))
        const report = yield* Effect.provide(start(lone({ device: "cuda" }, "any")), machine)
        const { journal } = yield* Store
        const records = report.stages.map(({ key }) => stageRecord(journal, key)!)
        assert.deepInclude(records[1], {
          device: "a card",
          ranOn: { kind: "cuda", name: "cuda", numerics: "bits of a card" }
        })
        assert.strictEqual(records[1]!.preimage.numerics, "any")
        assert.strictEqual(records[0]!.device, null)
        assert.isUndefined(records[0]!.ranOn)
      })
    )
  )

  it.live("a result that is damaged is made again on its device, though no stage that runs needs one", () =>
    inStore(
      Effect.gen(function* () {
        const from = fresh()
        const made = (name: string) =>
          Pipeline.make("made", {}, (p) => {
            const { n } = p.add(one, from)
            const added = p.add(on, {
              inputs: { left: n, right: n },
              params: { name: `${from.params.n}`, milliseconds: 0 }
            })
            return p.add(off, { inputs: { left: added.n, right: n }, params: { name, milliseconds: 0 } })
          })
        const machine = having(fake("cuda", 80e9))
        const first = yield* Effect.provide(start(made("before")), machine)
        // Another folder, as values of this one are still in memory.
        const copy = path.join(folder, "copy")
        fs.cpSync((yield* Store).folder, copy, { recursive: true })
        const { digest } = first.stages.find(({ operator }) => operator === "on")!.artifacts["n"]!.parts["json"]!
        const file = path.join(copy, "objects", digest.slice(0, 2), digest)
        fs.chmodSync(file, 0o644)
        fs.writeFileSync(file, fs.readFileSync(file, "utf8").replaceAll(/\d/g, "0"))
        const healed = yield* start(made("after")).pipe(
          Effect.provide(machine),
          Effect.provide(layer(copy), { local: true })
        )
        assert.deepStrictEqual(ran(healed), ["on", "off"])
      })
    )
  )

  it.effect("a device for a stage that uses none is refused, as is a kind that is not there", () =>
    Effect.gen(function* () {
      const wrong = (options: object) =>
        Effect.flip(Pipeline.build(Pipeline.make("wrong", {}, (p) => p.add(one, { ...fresh(), ...options }))))
      assert.match((yield* wrong({ device: "cpu" })).message, /one uses no device: leave out device/)
      const misspelt = Pipeline.make("misspelt", {}, (p) => p.add(greedy, { device: "gpu" as DeviceKind }))
      assert.match((yield* Effect.flip(Pipeline.build(misspelt))).message, /no device gpu: there are auto, cuda, cpu/)
    })
  )
})
