/**
 * The rows of a table, page by page.
 *
 * @since 0.1.0
 */
import { useEffect, useState } from "preact/hooks"
import type { TablePage } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { Choose, Ways } from "./artifact.tsx"
import { Answered, Empty } from "./notice.tsx"
import { counted } from "./quantity.ts"
import { href, route, show } from "./route.ts"
import { Seen } from "./seen.tsx"

const PAGE = 50

const words = (cell: unknown): string => {
  if (cell === null) return "null"
  if (typeof cell === "string") return cell
  if (typeof cell === "number") return Number.isInteger(cell) ? String(cell) : String(Number(cell.toPrecision(7)))
  if (Array.isArray(cell)) return `[${cell.map(words).join(", ")}]`
  return JSON.stringify(cell)
}

const operators = ["contains", "equals", "below", "above"]

const Filter = ({ columns }: Pick<TablePage, "columns">) => {
  const { column = columns[0]?.name ?? "", operator = "contains", value = "" } = route.value.query
  return (
    <form
      class="bar"
      onSubmit={(event) => {
        event.preventDefault()
        const given = new FormData(event.currentTarget)
        const text = String(given.get("value") ?? "")
        const all = { column: String(given.get("column")), operator: String(given.get("operator")), value: text }
        show({
          ...(text === "" ? { column: undefined, operator: undefined, value: undefined } : all),
          offset: undefined,
          before: undefined
        })
      }}
    >
      <label>
        Rows whose{" "}
        <select name="column" value={column}>
          {columns.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <select name="operator" aria-label="How to compare" value={operator}>
        {operators.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
      <input name="value" type="search" aria-label="With what" value={value} />
      <button type="submit">Filter</button>
      {value === "" ? null : (
        <button
          type="button"
          onClick={() =>
            show({ column: undefined, operator: undefined, value: undefined, offset: undefined, before: undefined })
          }
        >
          All rows
        </button>
      )}
    </form>
  )
}

const Page = ({ page }: { readonly page: TablePage }) => {
  const [open, setOpen] = useState<number | undefined>(undefined)
  const { query } = route.value
  const offset = query["offset"] ?? "0"
  const before = (query["before"] ?? "").split(",").filter((each) => each !== "")
  const { batches, columns, next, of, rows, total } = page
  // What was not found in the time that one answer has is looked for on.
  useEffect(() => {
    if (rows.length === 0 && next !== null) show({ offset: String(next) })
  }, [page])
  return (
    <>
      <header class="head">
        <h1>{of.name}</h1>
        <span class="faint" role="status">
          {counted(total, "row")} · {counted(columns.length, "column")} · {batches.read} of{" "}
          {counted(batches.total, "record batch", "record batches")} read
        </span>
        <span class="spread" />
        <Ways artifact={of} except="table" />
      </header>
      <Filter key={query["value"] ?? ""} columns={columns} />
      {rows.length === 0 ? (
        <Empty>
          {next !== null
            ? `Looking on: ${next.toLocaleString("en")} of ${counted(total, "row")} so far…`
            : before.length === 0
              ? "No row of the table is so."
              : "No more rows are so."}
        </Empty>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys too
        <section class="scroll rows" tabIndex={0} aria-label={`Rows of ${of.name}`}>
          <table class="list">
            <thead>
              <tr>
                <th scope="col" class="number">
                  row
                </th>
                {columns.map(({ name, type }) => (
                  <th key={name} scope="col">
                    {name} <span class="faint">{type}</span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(({ cells, row }) => (
                <tr key={row} class={open === row ? "open" : ""}>
                  <th scope="row" class="number">
                    <button
                      type="button"
                      class="plain"
                      aria-expanded={open === row}
                      aria-label={`Row ${row}, in full`}
                      title="In full, and the checkpoints that saw it"
                      onClick={() => setOpen(open === row ? undefined : row)}
                    >
                      {row}
                    </button>
                  </th>
                  {cells.map((cell, i) => (
                    <td
                      key={columns[i]!.name}
                      class={typeof cell === "number" ? "number" : cell === null ? "faint" : ""}
                    >
                      <div class="cell">{words(cell)}</div>
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {open === undefined || !rows.some(({ row }) => row === open) ? null : <Seen of={of} row={open} />}
      <nav class="pages" aria-label="Pages of the table">
        <button
          type="button"
          disabled={before.length === 0 && offset === "0"}
          onClick={() => show({ offset: before.at(-1), before: before.slice(0, -1).join(",") })}
        >
          Previous
        </button>
        <span class="faint">
          {rows.length === 0 ? "no rows" : `rows ${rows[0]!.row} to ${rows.at(-1)!.row}`} of{" "}
          {total.toLocaleString("en")}
        </span>
        <button
          type="button"
          disabled={next === null}
          onClick={() => show({ offset: String(next), before: [...before, offset].join(",") })}
        >
          Next
        </button>
      </nav>
    </>
  )
}

const Rows = () => {
  const { id, query } = route.value
  const { column = "", offset = "0", operator = "", value = "" } = query
  const filter = value === "" ? {} : { column, operator, value }
  const given = new URLSearchParams({ offset, limit: String(PAGE), ...filter })
  const asked = useAnswer<TablePage>(`tables/${encodeURIComponent(id)}?${given}`)
  return (
    <>
      <Answered asked={asked}>{(page) => <Page page={page} />}</Answered>
      {asked.error === undefined || value === "" ? null : (
        <p>
          <a href={href("table", id)}>All rows</a>
        </p>
      )}
    </>
  )
}

/** The view of a table; without one, the choice of it. */
export const TableView = () =>
  route.value.id === "" ? (
    <Choose
      title="Tables"
      kind="table"
      to={(reference) => href("table", reference)}
      nothing="No stage of this run has given a table yet."
    />
  ) : (
    <Rows key={route.value.id} />
  )
