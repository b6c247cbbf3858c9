import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import * as Operator from "../../src/operator/operator.ts"
import { nearest } from "../../src/pipeline/nearest.ts"
import type { Output } from "../../src/pipeline/output.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import { numberPort } from "../executor/json-port.ts"

const withDefault = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

const source = Operator.make("source", {
  description: "",
  params: Schema.Struct({ value: withDefault(Schema.Number, 1), label: Schema.optionalKey(Schema.String) }),
  inputs: {},
  outputs: { n: numberPort, m: numberPort },
  run: () => Effect.succeed({ n: 1, m: 2 })
})
const add = Operator.make("add", {
  description: "",
  params: Schema.Struct({}),
  inputs: { left: numberPort, right: numberPort },
  outputs: { n: numberPort },
  run: ({ inputs }) => Effect.succeed({ n: inputs.left + inputs.right })
})

const Params = Schema.Struct({
  name: withDefault(Schema.String, "run"),
  device: withDefault(Schema.Literals(["cpu", "gpu"]), "cpu"),
  rounds: withDefault(Schema.Int, 2),
  limit: withDefault(Schema.NullOr(Schema.Number), null),
  ppo: withDefault(
    Schema.Struct({
      learningRate: withDefault(Schema.Number, 3e-4),
      layers: withDefault(Schema.Array(Schema.Int), [1])
    }),
    {}
  ),
  extra: withDefault(Schema.Record(Schema.String, Schema.Number), {})
})

const withParams = Pipeline.make("with-params", { params: Params }, (p) => ({ n: p.add(source).n }))

const set = (...settings: ReadonlyArray<string>) =>
  Effect.map(
    Pipeline.build(
      withParams,
      settings.map((each) => ({ path: each.slice(0, each.indexOf("=")), value: each.slice(each.indexOf("=") + 1) }))
    ),
    ({ params }) => params as (typeof Params)["Type"]
  )

describe("settings", () => {
  it.effect("nothing set: every default is filled in", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* set(), {
        name: "run",
        device: "cpu",
        rounds: 2,
        limit: null,
        ppo: { learningRate: 3e-4, layers: [1] },
        extra: {}
      })
    })
  )

  it.effect("a text field takes the text as it is, others take JSON", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* set("name=123")).name, "123")
      assert.strictEqual((yield* set('name={"a":1}')).name, `{"a":1}`)
      assert.strictEqual((yield* set("name=")).name, "")
      assert.strictEqual((yield* set("device=gpu")).device, "gpu")
      assert.strictEqual((yield* set("rounds=7")).rounds, 7)
      assert.deepStrictEqual((yield* set("ppo.learningRate=1e-4")).ppo, { learningRate: 1e-4, layers: [1] })
      assert.deepStrictEqual((yield* set('ppo={"layers":[2,3]}', "ppo.learningRate=1")).ppo, {
        learningRate: 1,
        layers: [2, 3]
      })
      assert.deepStrictEqual((yield* set("limit=5")).limit, 5)
      assert.deepStrictEqual((yield* set("extra.anything=5")).extra, { anything: 5 })
      assert.strictEqual((yield* set("rounds=7", "rounds=8")).rounds, 8)
    })
  )

  it.effect("what does not fit is refused and named", () =>
    Effect.gen(function* () {
      const refused = Effect.fnUntraced(function* (...settings: ReadonlyArray<string>) {
        const error = yield* Effect.flip(set(...settings))
        assert.strictEqual(error._tag, "PipelineError")
        assert.strictEqual(error.pipeline, "with-params")
        return error.message
      })
      assert.strictEqual(
        yield* refused("ppo.learnigRate=1"),
        "there is no parameter ppo.learnigRate; did you mean ppo.learningRate?"
      )
      assert.strictEqual(
        yield* refused("learningRate=1"),
        "there is no parameter learningRate; did you mean ppo.learningRate?"
      )
      assert.include(yield* refused("quite.another=1"), "there are name, device, rounds, limit, ppo.learningRate")
      assert.include(yield* refused("rounds=1.5"), "rounds")
      assert.include(yield* refused("rounds=many"), "rounds")
      assert.include(yield* refused("device=tpu"), "device")
      assert.include(yield* refused("rounds.x=1"), "there is no parameter rounds.x")
      assert.include(yield* refused('ppo={"learning":1}'), "learning")
      assert.include(yield* refused("ppo=5", "ppo.learningRate=1"), "ppo was set before")
      const none = yield* Effect.flip(
        Pipeline.build(
          Pipeline.make("none", {}, (p) => ({ n: p.add(source).n })),
          [{ path: "x", value: "1" }]
        )
      )
      assert.include(none.message, "the pipeline has none")
    })
  )

  it("the nearest names come first, whatever their case, three at most", () => {
    assert.deepStrictEqual(nearest("ppo.CLIP", ["clip", "PPO.clip", "sft.clip", "ppo.clips"]), [
      "PPO.clip",
      "ppo.clips",
      "sft.clip"
    ])
    assert.deepStrictEqual(nearest("clip", ["epochs"]), [])
  })
})

describe("building", () => {
  const refused = (write: Parameters<typeof Pipeline.make>[2]) =>
    Effect.flip(Pipeline.build(Pipeline.make("bad", {}, write)))

  it.effect("stages of partitions within partitions are named and known by both", () =>
    Effect.gen(function* () {
      const { stages } = yield* Pipeline.build(
        Pipeline.make("nested", {}, (p) => {
          const parts = p.partition(["a", "b"], (outer) =>
            p.partition(["x", "y"], (inner) => p.add(source, { params: { label: outer + inner } }).n)
          )
          return { ax: parts["x"]!["a"]!, by: parts["y"]!["b"]! }
        })
      )
      assert.deepStrictEqual(
        stages.map(({ name, partition }) => [name, partition]),
        [
          ["source.a.x", ".a.x"],
          ["source.b.y", ".b.y"]
        ]
      )
    })
  )

  it.effect("names are the operator's unless given, and a second one is refused with what to do", () =>
    Effect.gen(function* () {
      const error = yield* refused((p) => {
        p.add(source)
        return { n: p.add(source).n }
      })
      assert.strictEqual(error.place, "source")
      assert.include(
        error.message,
        `two stages are named source: give one of them another name, as in p.add(source, { name: "..." })`
      )
      assert.include((yield* refused((p) => ({ n: p.add(source, { name: "a b" }).n }))).message, "letters")
    })
  )

  it.effect("parameters are decoded with defaults; an unknown one is refused", () =>
    Effect.gen(function* () {
      const { stages } = yield* Pipeline.build(
        Pipeline.make("p", {}, (p) => ({ n: p.add(source, { params: { label: "x" } }).n }))
      )
      assert.deepStrictEqual(stages[0]!.params, { value: 1, label: "x" })
      assert.deepStrictEqual(stages[0]!.paramsJson, { value: 1, label: "x" })
      const unknown = { valu: 3 } as object
      const error = yield* refused((p) => ({ n: p.add(source, { params: unknown }).n }))
      assert.strictEqual(error.place, "source")
      assert.include(error.message, "valu")
    })
  )

  it.effect("an output of another pipeline, and an error of the function, are refused", () =>
    Effect.gen(function* () {
      let stray: Output<number, never> | undefined
      yield* Pipeline.build(
        Pipeline.make("first", {}, (p) => {
          stray = p.add(source, { name: "stray" }).n
          return { n: stray }
        })
      )
      const error = yield* refused((p) => ({ n: p.add(add, { inputs: { left: stray!, right: stray! } }).n }))
      assert.strictEqual(error.place, "add.left")
      const nothing = yield* refused((() => {}) as unknown as Parameters<typeof refused>[0])
      assert.include(nothing.message, "returns no outputs: end it with return { name: stage.port }")
      const thrown = yield* refused(() => {
        throw new RangeError("oops")
      })
      assert.include(thrown.message, "RangeError: oops")
      assert.include(
        (yield* refused((p) => p.iterate(-1, { n: p.add(source).n }, (state) => state))).message,
        "whole number"
      )
    })
  )

  it.effect("rounds have their number in the names of their stages, also inside one another", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("loop", {}, (p) => {
        const start = p.add(source)
        const { n } = p.iterate(2, { n: start.n }, (state, i) => {
          const inner = p.iterate(
            i,
            state.n,
            (value) => p.add(add, { name: "inner", inputs: { left: value, right: start.m } }).n
          )
          return { n: p.add(add, { inputs: { left: inner, right: state.n } }).n }
        })
        return { n }
      })
      const { outputs, stages } = yield* Pipeline.build(pipeline)
      assert.deepStrictEqual(
        stages.map(({ name }) => name),
        ["source", "inner.1.1", "add.1", "inner.2.1", "inner.2.2", "add.2"]
      )
      assert.deepStrictEqual(stages.at(-1)!.inputs, {
        left: { stage: "inner.2.2", port: "n" },
        right: { stage: "add.1", port: "n" }
      })
      assert.deepStrictEqual(outputs, { n: { stage: "add.2", port: "n" } })
    })
  )

  it("keeps what the outputs need, each stage after its inputs, whatever the graph", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 30 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
        (edges, wanted) => {
          const pipeline = Pipeline.make("random", {}, (p) => {
            const made: Array<Output<number, never>> = [p.add(source, { name: "s0" }).n]
            for (const [left, right] of edges) {
              const inputs = { left: made[left % made.length]!, right: made[right % made.length]! }
              made.push(p.add(add, { name: `s${made.length}`, inputs }).n)
            }
            return Object.fromEntries(wanted.map((each, i) => [`out${i}`, made[each % made.length]!]))
          })
          const { stages } = Effect.runSync(Pipeline.build(pipeline))
          const needed = new Set<string>()
          const visit = (stage: number): void => {
            if (needed.has(`s${stage}`)) return
            needed.add(`s${stage}`)
            if (stage === 0) return
            for (const each of edges[stage - 1]!) visit(each % stage)
          }
          for (const each of wanted) visit(each % (edges.length + 1))
          assert.deepStrictEqual(new Set(stages.map(({ name }) => name)), needed)
          const seen = new Set<string>()
          for (const { inputs, name } of stages) {
            for (const { stage } of Object.values(inputs)) assert.isTrue(seen.has(stage))
            seen.add(name)
          }
        }
      )
    )
  })
})
