/**
 * What states and graphs of runs show of stage records, as columns of the ledger: ten thousand are found and read at once.
 *
 * @since 0.1.0
 */
import type { DatabaseSync } from "node:sqlite"
import { briefOf, type StageBrief, type StageNode } from "./records.ts"

/**
 * The columns of a record in the table `stages`, beside its `key` and `position`: what states and what graphs show, each as a part of the text of an array, and the names of
 * its outputs. They are null where nothing of it can be shown.
 */
export const SHOWN = "state TEXT, graph TEXT, ports TEXT"

/**
 * What the graph of a run shows of a stage record, as it is kept, as ten thousand take longer to parse than to find. `metrics` are JSON. `id` stands for its key, and `inputs` are
 * for each its name, the id of the key that it came from, and the port; the key itself where nothing was recorded of it before.
 */
export interface StageRow extends Omit<StageNode, "inputs" | "metrics"> {
  readonly id: number
  readonly metrics: string
  readonly inputs: ReadonlyArray<string | number>
}

/** Of the newest record of each key, of those up to a position if one is given; null where there is none. */
type Look<A> = (keys: ReadonlyArray<string>, upTo?: number) => ReadonlyArray<A | null>

/** What can be looked up of records. */
export interface Shown {
  /** What the state of a run shows of it. */
  readonly briefs: Look<StageBrief>
  /** The same, with what the stage took in place of what it gave. */
  readonly nodes: Look<StageNode>
  /** Nodes as they are kept. */
  readonly rows: Look<StageRow>
}

/** The values of the columns `SHOWN` for a record with an id, where `idOf` gives that of a key of which something was recorded before. */
export const shownOf = (
  record: unknown,
  id: number,
  idOf: (key: string) => number | undefined
): ReadonlyArray<string | null> => {
  const brief = briefOf(record)
  if (brief === undefined) return [null, null, null]
  const { inputs: taken = {} } = record as Partial<StageNode>
  const { metrics, operator, outputs, run, seconds, stage, time } = brief
  const inputs = Object.entries(taken).flatMap(([name, { key, port }]) => [name, idOf(key) ?? key, port])
  const shown = [id, run, stage, operator, time, seconds]
  const parts = (values: ReadonlyArray<unknown>) => JSON.stringify(values).slice(1, -1)
  return [
    parts([...shown, metrics, outputs]),
    parts([...shown, JSON.stringify(metrics), inputs]),
    JSON.stringify(Object.keys(outputs))
  ]
}

type Fields<A, B> = readonly [
  id: number,
  run: string,
  stage: string,
  operator: string,
  time: number,
  seconds: number,
  metrics: A,
  ports: B
]
const FIELDS = 8

/**
 * Looks up in the table `stages`. What is found comes as one text, by turns the number of the key and its fields, and is parsed at once: ten thousand rows of
 * a database, or texts to parse, would take twice as long.
 */
export const shownIn = (database: DatabaseSync): Shown => {
  const looking = <A, B, C>(column: "state" | "graph", of: (...fields: Fields<A, B>) => C): Look<C> => {
    const query = database.prepare(
      `SELECT '[' || coalesce(group_concat(each.key || ',' || ${column}), '') || ']' AS list
       FROM json_each(?) AS each JOIN stages ON position = (
         SELECT position FROM stages WHERE key = each.value AND position <= ? ORDER BY position DESC LIMIT 1)
       WHERE ${column} IS NOT NULL`
    )
    return (keys, upTo = Number.MAX_SAFE_INTEGER) => {
      const { list } = query.get(JSON.stringify(keys), upTo) as { readonly list: string }
      const flat = JSON.parse(list)
      const found = new Array<C | null>(keys.length).fill(null)
      for (let i = 0; i < flat.length; i += FIELDS + 1) {
        const [id, run, stage, operator] = [flat[i + 1], flat[i + 2], flat[i + 3], flat[i + 4]]
        found[flat[i]] = of(id, run, stage, operator, flat[i + 5], flat[i + 6], flat[i + 7], flat[i + 8])
      }
      return found
    }
  }
  type Outputs = StageBrief["outputs"]
  const briefs = looking(
    "state",
    (_, run, stage, operator, time, seconds, metrics: StageBrief["metrics"], outputs: Outputs): StageBrief => {
      return { run, stage, operator, time, seconds, metrics, outputs }
    }
  )
  const rows = looking(
    "graph",
    (id, run, stage, operator, time, seconds, metrics: string, inputs: StageRow["inputs"]): StageRow => {
      return { id, run, stage, operator, time, seconds, metrics, inputs }
    }
  )
  const keys = database.prepare(
    "SELECT position AS id, stages.key FROM json_each(?) AS each JOIN stages ON position = each.value"
  )
  const nodes: Shown["nodes"] = (asked, upTo) => {
    const found = rows(asked, upTo)
    const ids = new Set(found.flatMap((row) => row?.inputs.filter((each) => typeof each === "number") ?? []))
    const known = keys.all(JSON.stringify([...ids])) as unknown as ReadonlyArray<{ id: number; key: string }>
    const keyOf = new Map<string | number, string>(known.map(({ id, key }) => [id, key]))
    return found.map((row) => {
      if (row === null) return null
      const { id: _, inputs: flat, metrics, ...rest } = row
      const inputs: { [name: string]: { readonly key: string; readonly port: string } } = {}
      for (let i = 0; i < flat.length; i += 3) {
        const [name, from, port] = [flat[i]!, flat[i + 1]!, flat[i + 2]!]
        inputs[name] = { key: keyOf.get(from) ?? String(from), port: String(port) }
      }
      return { ...rest, metrics: JSON.parse(metrics) as StageNode["metrics"], inputs }
    })
  }
  return { briefs, nodes, rows }
}
