/** The smallest changed parts of a preimage, as old and new (row 27 of the table of features). */
import { assert, describe, it } from "@effect/vitest"
import type { CodeHistory } from "../../src/executor/code.ts"
import { changes } from "../../src/executor/explain.ts"
import { keyOf } from "../../src/executor/key.ts"
import type { Preimage } from "../../src/lineage/record.ts"
import { valueTree } from "../../src/operator/value-tree.ts"

const base: Preimage = {
  _tag: "StageKey",
  schema: 2,
  operator: { _tag: "Operator", name: "sft", version: 1 },
  code: "c1",
  packages: "p1",
  params: valueTree({ rate: 3e-4, model: { layers: 4, heads: [1, 2] }, limit: Number.NaN, seed: 1 }),
  inputs: {
    documents: {
      _tag: "Input",
      kind: "table",
      contract: [
        ["id", "utf8"],
        ["text", "utf8"]
      ],
      digest: "a".repeat(64)
    }
  },
  outputs: { checkpoint: { _tag: "Output", kind: "checkpoint", contract: "checkpoint/1" } },
  sources: [{ _tag: "Source", name: "book.txt", digest: "b".repeat(64) }],
  numerics: "n1"
}

const code: CodeHistory = {
  tree: (digest) => ({
    digest,
    declarations: [
      { module: "operators/sft.ts", name: "maskPrompt", kind: "function", digest: digest === "c1" ? "1" : "2" },
      { module: "operators/sft.ts", name: "sft", kind: "value", digest: "3" }
    ]
  }),
  packages: (digest) => ({
    digest,
    packages: [
      { name: "effect", version: digest === "p2" ? "4.1.1" : "4.1.0", integrity: digest },
      { name: "acorn", version: "8.0.0", integrity: "same" }
    ]
  })
}

const said = (edit: Partial<Preimage>, pending: ReadonlyArray<string> = []) =>
  changes(base, { ...base, ...edit }, code, new Set(pending)).map(({ message }) => message)

const documents = base.inputs["documents"]!

describe("what changed (row 27)", () => {
  it("is each leaf of the parameters that differs, and no more", () => {
    assert.deepStrictEqual(said({}), [])
    const params = { rate: 1e-4, model: { layers: 6, heads: [1, 2] }, limit: 3, seed: 2, extra: undefined }
    assert.deepStrictEqual(said({ params: valueTree(params) }), [
      "parameter rate: 0.0003 -> 0.0001",
      "parameter model.layers: 4 -> 6",
      "parameter limit: NaN -> 3",
      "parameter seed: 1 -> 2",
      "parameter extra: (absent) -> undefined"
    ])
    const lists = { rate: 3e-4, model: { layers: 4, heads: [1, 3] }, limit: Number.NaN }
    assert.deepStrictEqual(said({ params: valueTree(lists) }), [
      "parameter model.heads.1: 2 -> 3",
      "parameter seed: 1 -> (absent)"
    ])
  })

  it("is a seed, which is no parameter like others", () => {
    const seeds = (values: { readonly [name: string]: number }) => ({ seeds: { _tag: "Seeds" as const, values } })
    const from = { ...base, ...seeds({ seed: 1, order: 7 }) }
    const reasons = changes(from, { ...from, ...seeds({ seed: 2, order: 8 }) }, code, new Set())
    assert.deepStrictEqual(
      reasons.map(({ kind, message }) => [kind, message]),
      [
        ["seed", "seed: 1 -> 2"],
        ["seed", "seed order: 7 -> 8"]
      ]
    )
    assert.notStrictEqual(keyOf(from), keyOf({ ...base, params: { ...(base.params as object), order: 7 } }))
  })

  it("is the function whose code changed, and the package with its versions or its contents", () => {
    assert.deepStrictEqual(said({ code: "c2" }), ["code of operators/sft.ts changed in function maskPrompt"])
    assert.deepStrictEqual(said({ packages: "p2" }), ["package effect: 4.1.0 -> 4.1.1"])
    assert.deepStrictEqual(said({ packages: "p3" }), ["package effect: p1 -> p3"])
  })

  it("is the column of a port, the input's content, the file", () => {
    const contract = [
      ["id", "int64"],
      ["text", "utf8"]
    ]
    assert.deepStrictEqual(said({ inputs: { documents: { ...documents, contract } } }), [
      "input documents has another type: id: utf8 -> int64"
    ])
    const turned = documents.contract as ReadonlyArray<[string, string]>
    assert.deepStrictEqual(said({ inputs: { documents: { ...documents, contract: turned.toReversed() } } }), [
      "input documents has another type: (order): id, text -> text, id"
    ])
    const other = { documents: { ...documents, digest: "c".repeat(64) } }
    assert.deepStrictEqual(said({ inputs: other }), ["input documents: aaaaaaaaaaaa -> cccccccccccc"])
    assert.deepStrictEqual(said({ inputs: other }, ["documents"]), [])
    const [found] = changes(
      base,
      { ...base, sources: [{ ...base.sources[0]!, digest: "d".repeat(64) }] },
      code,
      new Set()
    )
    assert.deepInclude(found, { kind: "source", place: "book.txt", from: "bbbbbbbbbbbb", to: "dddddddddddd" })
  })

  it("of the numerics alone is said to be that (row 7)", () => {
    assert.deepStrictEqual(said({ numerics: "n2" }), ["same code, other numerics: n1 -> n2"])
    assert.deepStrictEqual(said({ numerics: "n2", code: "c2" }), [
      "code of operators/sft.ts changed in function maskPrompt",
      "device numerics: n1 -> n2"
    ])
  })
})
