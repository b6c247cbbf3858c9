/**
 * A graph of stages with some of them put together, so that a thousand can be read.
 *
 * @since 0.1.0
 */
import type { StageState, StageView } from "../answers.ts"
import { kindOf } from "./family.ts"

/** Not at all; stages of one name but for its number; stages of one operator at the same depth. */
export type Mode = "none" | "name" | "layer"

/** One stage, or several. */
export interface Group {
  readonly id: string
  readonly label: string
  readonly stages: ReadonlyArray<StageView>
}

/** Groups, and which takes from which. */
export interface Collapsed {
  readonly groups: ReadonlyArray<Group>
  readonly edges: ReadonlyArray<readonly [string, string]>
}

/** How far from the stages that take nothing each stage is. */
const depths = (stages: ReadonlyArray<StageView>): ReadonlyMap<string, number> => {
  const depth = new Map<string, number>()
  for (const { inputs, stage } of stages) {
    depth.set(stage, 1 + Math.max(-1, ...Object.values(inputs).map((input) => depth.get(input.stage) ?? 0)))
  }
  return depth
}

/** What a person sees first: all of few stages, families of many, layers of very many. */
export const firstMode = (stages: ReadonlyArray<StageView>): Mode => {
  if (stages.length <= 40) return "none"
  const families = new Set(stages.map(({ stage }) => kindOf(stage)))
  return families.size <= 120 ? "name" : "layer"
}

/** Puts stages together; those of groups in `open` are shown each. */
export const collapse = (stages: ReadonlyArray<StageView>, mode: Mode, open: ReadonlySet<string>): Collapsed => {
  const depth = mode === "layer" ? depths(stages) : undefined
  const nameOf = ({ operator, stage }: StageView): string => {
    if (mode === "none") return stage
    const name = mode === "name" ? kindOf(stage) : `${operator} @ ${depth!.get(stage)}`
    return open.has(name) ? stage : name
  }
  const members = new Map<string, Array<StageView>>()
  const groupOf = new Map<string, string>()
  for (const stage of stages) {
    const name = nameOf(stage)
    groupOf.set(stage.stage, name)
    const known = members.get(name)
    if (known === undefined) members.set(name, [stage])
    else known.push(stage)
  }
  const edges = new Map<string, readonly [string, string]>()
  for (const { inputs, stage } of stages) {
    const to = groupOf.get(stage)!
    for (const input of Object.values(inputs)) {
      const from = groupOf.get(input.stage)
      if (from !== undefined && from !== to) edges.set(`${from}\n${to}`, [from, to])
    }
  }
  const groups = [...members].map(([id, stages]): Group => {
    const label = stages.length === 1 ? stages[0]!.stage : `${id.replace(/ @ \d+$/, "")} × ${stages.length}`
    return { id, label, stages }
  })
  return { groups, edges: [...edges.values()] }
}

/** States in the order in which a group shows them; what needs a person's eye first. */
export const order: ReadonlyArray<StageState> = [
  "failed",
  "running",
  "waiting",
  "stopped",
  "due",
  "maybe",
  "ran",
  "reused",
  "reusable",
  "skipped",
  "pending"
]

const words: { readonly [state: string]: string } = { due: "to run", maybe: "may run" }

/** A state of a stage, or of a run, as people say it. */
export const wordOf = (state: string): string => words[state] ?? state

/** How many stages are in each state; those that are in none are left out. */
export const tally = (stages: ReadonlyArray<StageView>): ReadonlyArray<readonly [StageState, number]> =>
  order.flatMap((state) => {
    const count = stages.filter((stage) => stage.state === state).length
    return count === 0 ? [] : [[state, count] as const]
  })

/** The state of a group: that of its stages which needs a person's eye first; pending only if all are. */
export const stateOf = (stages: ReadonlyArray<StageView>): StageState => {
  const [first] = tally(stages)
  const begun = stages.some(({ state }) => state === "ran" || state === "reused")
  const left = stages.some(({ state }) => state === "pending")
  return first === undefined
    ? "pending"
    : begun && left && (first[0] === "ran" || first[0] === "reused")
      ? "waiting"
      : first[0]
}
