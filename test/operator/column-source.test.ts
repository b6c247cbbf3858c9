import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Operator from "../../src/operator/operator.ts"
import * as Table from "../../src/table/index.ts"
import { numberPort } from "../executor/json-port.ts"

const Row = Schema.Struct({ id: Schema.String, text: Schema.String })

const declaring = (columns: { readonly [column: string]: object }) => () =>
  Operator.make("tidy", {
    description: "",
    params: Schema.Struct({}),
    inputs: { rows: Table.of(Row), n: numberPort },
    outputs: { tidied: Table.of(Row) },
    columns: { tidied: columns },
    run: ({ inputs }) => Effect.succeed({ tidied: inputs.rows })
  })

describe("where an operator says that its columns come from", () => {
  it("is of columns that its ports have", () => {
    const { columns } = declaring({ ...Operator.unchanged("rows", ["id"]), text: { from: ["rows.text"] } })()
    assert.deepStrictEqual(columns, { tidied: { id: { same: ["rows.id"] }, text: { from: ["rows.text"] } } })
    const place = "operator tidy: columns.tidied."
    assert.throws(declaring({ txt: {} }), `${place}txt is no column of an output table`)
    for (const reference of ["rows.txt", "row.text", "n.n", "rows"]) {
      const message = `${place}text comes from ${reference}, which is no column of an input table`
      assert.throws(declaring({ text: { from: [reference] } }), message)
      assert.throws(declaring({ text: { same: [reference] } }), message)
    }
  })
})
