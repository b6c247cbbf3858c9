/**
 * The first causes of a plan: what changed, without what only follows from it.
 *
 * @since 0.1.0
 */
import type { Reason } from "../../lineage/reason.ts"

type Planned = { readonly action: "reuse" | "run" | "maybe"; readonly reasons: ReadonlyArray<Reason> }

/** The messages of each stage's own causes; nothing for stages that never ran, or run because one before them does. */
export const firstCauses = (planned: ReadonlyMap<string, Planned>): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(
    [...planned].map(([stage, { action, reasons }]) => [
      stage,
      action === "reuse"
        ? []
        : reasons.filter(({ kind }) => kind !== "never-ran" && kind !== "input-pending").map(({ message }) => message)
    ])
  )
