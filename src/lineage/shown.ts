/**
 * What states and graphs of runs show of stage records, as columns of the ledger: ten thousand are found and read at once.
 *
 * @since 0.1.0
 */
import type { DatabaseSync } from "node:sqlite"
import { briefOf, type StageBrief, type StageNode } from "./records.ts"

/** The columns of a record in the table `stages`, beside its `key` and `position`: parts of the text of an array. They are null where nothing of it can be shown. */
export const SHOWN = "shown TEXT, metrics TEXT, inputs TEXT, outputs TEXT"

/**
 * What the graph of a run shows of a stage record, as it is kept, as ten thousand take longer to parse than to find: `metrics` are JSON, `inputs` for each its name, and
 * the key and the port that it came from.
 */
export interface StageRow extends Omit<StageNode, "inputs" | "metrics"> {
  readonly metrics: string
  readonly inputs: ReadonlyArray<string>
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

const flatInputs = (inputs: unknown): StageRow["inputs"] =>
  Object.entries((inputs ?? {}) as StageNode["inputs"]).flatMap(([name, { key, port }]) => [name, key, port])

const inputsFrom = (flat: StageRow["inputs"]): StageNode["inputs"] => {
  const inputs: { [name: string]: { readonly key: string; readonly port: string } } = {}
  for (let i = 0; i < flat.length; i += 3) inputs[flat[i]!] = { key: flat[i + 1]!, port: flat[i + 2]! }
  return inputs
}

/** The values of the columns `SHOWN` for a record. */
export const shownOf = (record: unknown): ReadonlyArray<string | null> => {
  const brief = briefOf(record)
  if (brief === undefined) return [null, null, null, null]
  const { metrics, operator, outputs, run, seconds, stage, time } = brief
  const inputs = flatInputs((record as { readonly inputs?: unknown }).inputs)
  const shown = JSON.stringify([run, stage, operator, time, seconds]).slice(1, -1)
  return [shown, JSON.stringify(metrics), JSON.stringify(inputs), JSON.stringify(outputs)]
}

type Fields<A, B> = readonly [
  run: string,
  stage: string,
  operator: string,
  time: number,
  seconds: number,
  metrics: A,
  ports: B
]
const FIELDS = 7

/**
 * Looks up in the table `stages`. What is found comes as one text, by turns the number of the key and its fields, and is parsed at once: ten thousand rows of
 * a database, or texts to parse, would take twice as long.
 */
export const shownIn = (database: DatabaseSync): Shown => {
  const looking = <A, B, C>(metrics: string, ports: string, of: (...fields: Fields<A, B>) => C): Look<C> => {
    const query = database.prepare(
      `SELECT '[' || coalesce(group_concat(each.key || ',' || shown || ',' || ${metrics} || ',' || ${ports}), '') || ']' AS list
       FROM json_each(?) AS each JOIN stages ON position = (
         SELECT position FROM stages WHERE key = each.value AND position <= ? ORDER BY position DESC LIMIT 1)
       WHERE shown IS NOT NULL`
    )
    return (keys, upTo = Number.MAX_SAFE_INTEGER) => {
      const { list } = query.get(JSON.stringify(keys), upTo) as { readonly list: string }
      const flat = JSON.parse(list)
      const found = new Array<C | null>(keys.length).fill(null)
      for (let i = 0; i < flat.length; i += FIELDS + 1) {
        found[flat[i]] = of(flat[i + 1], flat[i + 2], flat[i + 3], flat[i + 4], flat[i + 5], flat[i + 6], flat[i + 7])
      }
      return found
    }
  }
  type Metrics = StageBrief["metrics"]
  return {
    briefs: looking(
      "metrics",
      "outputs",
      (run, stage, operator, time, seconds, metrics: Metrics, outputs: StageBrief["outputs"]) => {
        return { run, stage, operator, time, seconds, metrics, outputs }
      }
    ),
    nodes: looking(
      "metrics",
      "inputs",
      (run, stage, operator, time, seconds, metrics: Metrics, inputs: StageRow["inputs"]) => {
        return { run, stage, operator, time, seconds, metrics, inputs: inputsFrom(inputs) }
      }
    ),
    rows: looking(
      "json_quote(metrics)",
      "inputs",
      (run, stage, operator, time, seconds, metrics: string, inputs: StageRow["inputs"]) => {
        return { run, stage, operator, time, seconds, metrics, inputs }
      }
    )
  }
}
