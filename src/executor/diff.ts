/**
 * How two artifacts differ: the fewest differences upstream that explain why they are not the same.
 *
 * The stages that made them are compared, then their inputs port by port, as far up as they differ: where two inputs are the same artifact nothing
 * above them counts. So what is listed are first causes, each once.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Made } from "../lineage/ledger.ts"
import type { Reason } from "../lineage/reason.ts"
import type { StageRecord } from "../lineage/record.ts"
import { stageRecord } from "../lineage/records.ts"
import { type SeenOnly, seenByOne } from "../lineage/seen.ts"
import { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { codeOf } from "./code.ts"
import type { CodeError } from "./codeProject.ts"
import { changes } from "./explain.ts"

/** One difference: of stage `a` of the first artifact's lineage and stage `b` of the second's. */
export interface Difference extends Reason {
  readonly a: string
  readonly b: string
}

/** Rows of one table that only checkpoint `by` saw; `other`: the other saw none of this table. */
export interface RowDifference extends SeenOnly {
  readonly by: "a" | "b"
}

/**
 * `causes` explain that the artifacts differ; `rows` are those that one of two checkpoints learned from, or one before it, and the other did not (undefined where
 * that is known no more); `metrics` are those of the stages that made them, of which at least one has each.
 */
export interface ArtifactDiff {
  readonly same: boolean
  readonly causes: ReadonlyArray<Difference>
  readonly rows: ReadonlyArray<RowDifference> | undefined
  readonly metrics: ReadonlyArray<{
    readonly name: string
    readonly a: number | undefined
    readonly b: number | undefined
  }>
}

/** Rows by the checkpoint that saw them. A trace that was collected is no reason not to tell the rest. */
const rowDifferences = Effect.fnUntraced(function* (a: Made, b: Made) {
  if (a.artifact.kind !== "checkpoint" || b.artifact.kind !== "checkpoint") return []
  const of = (tables: ReadonlyArray<SeenOnly>, by: "a" | "b") =>
    tables.map((table): RowDifference => ({ ...table, by }))
  return yield* seenByOne(a, b).pipe(
    Effect.map(([a, b]): ReadonlyArray<RowDifference> | undefined => [...of(a, "a"), ...of(b, "b")]),
    Effect.catchTag("TraceError", () => Effect.undefined),
    Effect.catchTag("LineageError", () => Effect.succeed([]))
  )
})

/** What leads from artifact `a` to artifact `b`. */
export const diff = Effect.fnUntraced(function* (
  a: Made,
  b: Made
): Effect.fn.Return<ArtifactDiff, StoreError | CodeError, Store> {
  const store = yield* Store
  yield* store.journal.refresh
  const code = yield* codeOf([], store)
  const causes = new Map<string, Difference>()
  const seen = new Set<string>()
  const pairs: Array<readonly [StageRecord, StageRecord]> = []
  const reach = (from: string, to: string) => {
    if (from === to || seen.has(`${from} ${to}`)) return
    seen.add(`${from} ${to}`)
    const [old, now] = [stageRecord(store.journal, from), stageRecord(store.journal, to)]
    if (old !== undefined && now !== undefined) pairs.push([old, now])
  }
  const add = (old: StageRecord, now: StageRecord, reason: Reason) => {
    const id = `${now.preimage.operator.name} ${reason.kind} ${reason.place} ${reason.message}`
    if (!causes.has(id)) causes.set(id, { ...reason, a: old.stage, b: now.stage })
  }
  reach(a.key, b.key)
  for (let at = 0; at < pairs.length; at++) {
    const [old, now] = pairs[at]!
    const [from, to] = [old.preimage, now.preimage]
    if (from.operator.name !== to.operator.name) {
      const [was, is] = [from.operator.name, to.operator.name]
      const message = `one was made by ${was} (${old.stage}), the other by ${is} (${now.stage})`
      add(old, now, { kind: "operator", place: "operator", from: was, to: is, message })
      continue
    }
    // Inputs are followed, not listed.
    for (const reason of changes(from, to, code, new Set(Object.keys(to.inputs)))) add(old, now, reason)
    for (const [port, input] of Object.entries(now.inputs)) {
      const other = old.inputs[port]
      if (other !== undefined && from.inputs[port]?.digest !== to.inputs[port]?.digest) reach(other.key, input.key)
    }
  }
  const [one, other] = [
    stageRecord(store.journal, a.key)?.metrics ?? {},
    stageRecord(store.journal, b.key)?.metrics ?? {}
  ]
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])]
  const isSame = a.artifact.digest === b.artifact.digest
  return {
    same: isSame,
    causes: isSame ? [] : [...causes.values()],
    rows: isSame ? [] : yield* rowDifferences(a, b),
    metrics: names.map((name) => ({ name, a: one[name], b: other[name] }))
  }
})
