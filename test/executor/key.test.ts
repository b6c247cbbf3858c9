/** What the stage key is made of, and what it is not (rows 4, 5, 9 of the table of features). */
import * as fs from "node:fs"
import { hostname, tmpdir, userInfo } from "node:os"
import * as path from "node:path"
import { isDeepStrictEqual } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { Device } from "../../src/device/device.ts"
import { keyOf, preimageOf, recipeOf } from "../../src/executor/key.ts"
import { plan } from "../../src/executor/plan.ts"
import type { RunOptions } from "../../src/executor/run.ts"
import { run } from "../../src/executor/run.ts"
import { resolve, upstream } from "../../src/lineage/ledger.ts"
import type { Preimage } from "../../src/lineage/record.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { canonicalJson, digestOf } from "../../src/operator/digest.ts"
import * as Operator from "../../src/operator/operator.ts"
import { OpaqueValue, valueTree } from "../../src/operator/value-tree.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { open, Store } from "../../src/store/store.ts"
import { newFolder } from "../store/folder.ts"
import { constant, lengthOf, onDevice, sum } from "./arithmetic.ts"
import { jsonPort, numberPort } from "./json-port.ts"

/** Values that parameters may have, many of them alike. */
const small = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, true, false, 0, -0, 1, "", "1", "null", "NaN", Number.NaN, 1n, 0n),
  fc.constantFrom<unknown>(Number.POSITIVE_INFINITY, new Date(0), new Uint8Array([1]), new Float32Array([1]), "~"),
  fc.string({ maxLength: 2 })
)
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    small,
    fc.array(tie("value"), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom("a", "b", "~number", "~~number", "~undefined", "_tag", "__proto__"), tie("value"), {
      maxKeys: 2,
      noNullPrototype: true
    }),
    tie("value").map((each) => new Set([each])),
    tie("value").map((each) => new Map([["a", each]]))
  )
}))

const textOf = (each: unknown) => canonicalJson(JSON.parse(JSON.stringify(valueTree(each))))
const name = fc.constantFrom("a", "b", "c")
const digest = fc.constantFrom("", "00", "01")
const json = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Schema.Json>
const preimage: fc.Arbitrary<Preimage> = fc.record({
  _tag: fc.constant("StageKey" as const),
  schema: fc.constantFrom(1, 2),
  operator: fc.record({ _tag: fc.constant("Operator" as const), name, version: fc.constantFrom(1, 2) }),
  code: digest,
  packages: digest,
  params: json,
  inputs: fc.dictionary(name, fc.record({ _tag: fc.constant("Input" as const), kind: name, contract: json, digest }), {
    maxKeys: 2
  }),
  outputs: fc.dictionary(name, fc.record({ _tag: fc.constant("Output" as const), kind: name, contract: json }), {
    maxKeys: 2
  }),
  sources: fc.array(fc.record({ _tag: fc.constant("Source" as const), name, digest }), { maxLength: 2 }),
  numerics: fc.constantFrom(null, "null", "n1")
})

describe("keys (row 9)", () => {
  it("no two values have one tree, and what a tree is survives being stored", () => {
    fc.assert(
      fc.property(value, value, (a, b) => {
        assert.strictEqual(textOf(a), canonicalJson(valueTree(a)))
        if (isDeepStrictEqual(a, b)) assert.strictEqual(textOf(a), textOf(b))
        else assert.notStrictEqual(textOf(a), textOf(b))
      }),
      { numRuns: 1500 }
    )
  })

  it("no two preimages have one key, and no two kinds of records one digest", () => {
    fc.assert(
      fc.property(preimage, preimage, (a, b) => {
        const equal = canonicalJson(a) === canonicalJson(b)
        assert.strictEqual(isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))), equal)
        assert.strictEqual(keyOf(a) === keyOf(b), equal)
        assert.notStrictEqual(keyOf(a), recipeOf(a))
        assert.notStrictEqual(digestOf("code/1", a), digestOf("packages/1", a))
      }),
      { numRuns: 400 }
    )
    fc.assert(
      fc.property(preimage, fc.constantFrom("code", "packages"), (a, part) => {
        assert.notStrictEqual(keyOf(a), keyOf({ ...a, [part]: `${a[part as "code"]}x` }))
      })
    )
  })

  it("a function, a promise and what holds itself are refused with their path", () => {
    const circular: { self?: unknown } = {}
    circular.self = circular
    for (const [bad, place] of [
      [{ a: { b: () => 1 } }, "a.b"],
      [{ a: [1, Promise.resolve(1)] }, "a.1"],
      [circular, "self"]
    ] as const) {
      try {
        valueTree(bad)
        assert.fail("no error")
      } catch (error) {
        assert.instanceOf(error, OpaqueValue)
        assert.strictEqual((error as OpaqueValue).path, place)
      }
    }
  })
})

const optional = Operator.make("optional", {
  description: "Parameters that may be absent",
  params: Schema.Struct({
    a: Schema.optionalKey(Schema.NullOr(Schema.Number)),
    b: Schema.Number.pipe(Schema.withDecodingDefaultKey(Effect.succeed(3)))
  }),
  inputs: {},
  outputs: { n: numberPort },
  run: ({ params }) => Effect.succeed({ n: "a" in params ? 1 : 0 })
})

/** The preimages of a pipeline's stages after a run in a store of its own. */
const preimages = Effect.fnUntraced(function* <P, R>(
  pipeline: Pipeline.Pipeline<P, R>,
  options: RunOptions = {},
  folder?: string
) {
  const store = yield* open(folder ?? path.join(yield* newFolder, "store"))
  const report = yield* Effect.provideService(
    Effect.flatMap(Pipeline.build(pipeline), (graph) => run(graph, options)),
    Store,
    store
  )
  return report.stages.map(({ key, stage }) => ({ stage, key, preimage: stageRecord(store.journal, key)!.preimage }))
})

const drawing = Operator.make("drawing", {
  description: "Draws",
  params: Schema.Struct({ seed: Schema.Int, order: Schema.Int, rate: Schema.Number }),
  inputs: {},
  outputs: { n: numberPort },
  seeds: ["seed", "order"],
  run: ({ params }) => Effect.succeed({ n: params.seed * params.order * params.rate })
})

const drawingByName = Operator.make("drawing-by-name", {
  description: "Draws",
  params: Schema.Struct({ seed: Schema.Int, rate: Schema.Number }),
  inputs: {},
  outputs: { n: numberPort },
  run: ({ params }) => Effect.succeed({ n: params.seed * params.rate })
})

describe("the key of a stage", () => {
  it.effect("is another where an output has another type", () =>
    Effect.gen(function* () {
      const made = (contract: string) => {
        const n = jsonPort(Schema.Number, contract)
        const operator = Operator.make("made", {
          description: "One",
          params: Schema.Struct({}),
          inputs: {},
          outputs: { n },
          run: () => Effect.succeed({ n: 1 })
        })
        return Effect.map(Pipeline.build(Pipeline.make("p", {}, (p) => ({ n: p.add(operator).n }))), ({ stages }) =>
          keyOf(preimageOf(stages[0]!, { code: "", packages: "", sources: [], numerics: null }, {}))
        )
      }
      const number = yield* made("number")
      assert.strictEqual(yield* made("number"), number)
      assert.notStrictEqual(yield* made("metres"), number)
    })
  )

  it.live("has its seeds apart from its parameters, and says so where one changes", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* newFolder, "store")
      const drawn = (seed: number, order: number) =>
        Pipeline.make("p", {}, (p) => ({
          a: p.add(drawing, { params: { seed, order, rate: 2 } }).n,
          b: p.add(drawingByName, { params: { seed, rate: 2 } }).n
        }))
      const [a, b] = yield* preimages(drawn(1, 5), {}, folder)
      assert.deepStrictEqual(
        [a!, b!].map(({ preimage: { params, seeds } }) => [params, seeds]),
        [
          [{ rate: 2 }, { _tag: "Seeds", values: { seed: 1, order: 5 } }],
          [{ rate: 2 }, { _tag: "Seeds", values: { seed: 1 } }]
        ]
      )
      const store = yield* open(folder)
      const { stages } = yield* Effect.provideService(Effect.flatMap(Pipeline.build(drawn(2, 5)), plan), Store, store)
      assert.deepStrictEqual(
        stages.map(({ action, reasons }) => [action, reasons.map(({ kind, message }) => [kind, message])]),
        [
          ["run", [["seed", "seed: 1 -> 2"]]],
          ["run", [["seed", "seed: 1 -> 2"]]]
        ]
      )
      const node = yield* Effect.provideService(Effect.flatMap(resolve("drawing"), upstream), Store, store)
      assert.deepStrictEqual(node.params, { rate: 2, seed: 1, order: 5 })
    }).pipe(Effect.scoped)
  )

  it.live(
    "an absent parameter, null and a default are three things; a default said and one left out are one (row 4)",
    () =>
      Effect.gen(function* () {
        const keyWith = Effect.fnUntraced(function* (params: { readonly a?: number | null; readonly b?: number }) {
          const [stage] = yield* preimages(Pipeline.make("p", {}, (p) => ({ n: p.add(optional, { params }).n })))
          return stage!
        })
        const absent = yield* keyWith({})
        const different = [absent, yield* keyWith({ a: null }), yield* keyWith({ a: 0 }), yield* keyWith({ a: 3 })]
        assert.strictEqual(new Set(different.map(({ key }) => key)).size, 4)
        assert.deepStrictEqual(absent.preimage.params, { b: 3 })
        assert.strictEqual((yield* keyWith({ b: 3 })).key, absent.key)
      }).pipe(Effect.scoped)
  )

  it("parameters that JSON cannot tell apart are refused", () => {
    const merged = Operator.make("merged", {
      description: "undefined and null look the same as JSON",
      params: Schema.Struct({ a: Schema.optional(Schema.NullOr(Schema.Number)) }),
      inputs: {},
      outputs: { n: numberPort },
      run: () => Effect.succeed({ n: 1 })
    })
    const build = (a: null | undefined | number) =>
      Effect.runSync(
        Effect.result(
          Pipeline.build(Pipeline.make("p", {}, (p) => ({ n: p.add(merged, { params: { a } as never }).n })))
        )
      )
    assert.strictEqual(build(1)._tag, "Success")
    const [one, other] = [build(null), build(undefined)]
    assert.deepStrictEqual(Result.getOrThrow(one).stages[0]!.paramsTree, { a: null })
    assert.include(
      Result.getOrThrow(Result.flip(other)).message,
      "another value when it is written as JSON and read back"
    )
    const trees = [one, other].flatMap((each) =>
      each._tag === "Success" ? [canonicalJson(each.success.stages[0]!.paramsTree)] : []
    )
    assert.strictEqual(new Set(trees).size, trees.length)
  })

  it.live("names, folders, the machine, the time, threads and concurrency do not enter", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      const corpus = path.join(folder, "corpus")
      fs.mkdirSync(corpus)
      fs.writeFileSync(path.join(corpus, "a.txt"), "four")
      const shape = (threads: number) =>
        ({
          kind: "cpu",
          description: `${threads} threads of ${hostname()}`,
          numerics: Effect.succeed("n1")
        }) as unknown as Device["Service"]
      const pipelineOf = (name: string, suffix: string, at: string) =>
        Pipeline.make(name, {}, (p) => {
          const a = p.add(constant, { name: `a${suffix}` })
          const b = p.add(sum, { name: `b${suffix}`, inputs: { left: a.n, right: a.n } })
          const c = p.add(onDevice, { name: `c${suffix}`, inputs: { n: b.n } })
          return { c: c.n, d: p.add(lengthOf, { name: `d${suffix}`, params: { folder: at } }).n }
        })
      const one = yield* preimages(pipelineOf("one", "", corpus), { concurrency: 1 }).pipe(
        Effect.provideService(Device, shape(1))
      )
      fs.utimesSync(path.join(corpus, "a.txt"), new Date(0), new Date(0))
      yield* Effect.sleep(5)
      const two = yield* preimages(pipelineOf("two", "-x", corpus), { concurrency: 4 }).pipe(
        Effect.provideService(Device, shape(16))
      )
      assert.deepStrictEqual(
        two.map(({ key, preimage }) => ({ key, preimage })),
        one.map(({ key, preimage }) => ({ key, preimage }))
      )
      const text = JSON.stringify(one.map(({ preimage }) => preimage))
      for (const leak of [hostname(), userInfo().username, `${process.pid}`, "threads", "c-x"]) {
        if (leak.length > 3) assert.notInclude(text, leak)
      }
      // The one path in it is the one that is itself a parameter.
      assert.strictEqual(text.split(tmpdir()).length, 2)
    }).pipe(Effect.scoped)
  )

  it.live("an attempt that failed and was tried again has the key of one that did not (nf#591)", () =>
    Effect.gen(function* () {
      const folder = yield* newFolder
      let fails = true
      const flaky = Operator.make("flaky", {
        description: "Fails the first time",
        params: Schema.Struct({}),
        inputs: {},
        outputs: { n: numberPort },
        run: () => (fails ? Effect.fail(new Error("no")) : Effect.succeed({ n: 1 }))
      })
      const pipeline = Pipeline.make("flaky", {}, (p) => ({ n: p.add(flaky).n }))
      const store = path.join(folder, "store")
      assert.strictEqual((yield* Effect.result(preimages(pipeline, {}, store)))._tag, "Failure")
      fails = false
      const [second] = yield* preimages(pipeline, {}, store)
      const [fresh] = yield* preimages(pipeline)
      assert.strictEqual(second!.key, fresh!.key)
    }).pipe(Effect.scoped)
  )
})
