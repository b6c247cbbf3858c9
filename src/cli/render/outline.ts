/**
 * The stages of a pipeline as a person thinks of them: the rounds of a loop are one thing that happens n times.
 *
 * @since 0.1.0
 */

/** A stage by its name, and the names of the stages that it takes from; `partition` is the part of its name that says for which one it is. */
export interface OutlineStage {
  readonly name: string
  readonly partition?: string | undefined
  readonly operator: string
  readonly from: ReadonlyArray<string>
}

/** One line of an outline: a stage, or the stages of one name in all rounds of a loop (`rollout.1`, `rollout.2`, ... are `rollout`), or for all partitions. */
export interface Row {
  readonly name: string
  readonly operator: string
  readonly stages: ReadonlyArray<string>
  /** Names of rows; a row that only later rounds take from comes after the one that the first round takes from: `sft`, `ppo`. */
  readonly from: ReadonlyArray<ReadonlyArray<string>>
}

/** Rows that stand alone (`rounds` 0), or the rows of one loop. `rounds` are those of the outermost loop. */
export interface Block {
  readonly rows: ReadonlyArray<Row>
  readonly rounds: number
}

/** A stage name taken apart: `ppo.3` is round 3 of `ppo`; in a nested loop `step.3.1` is in round 3 of `step`. */
export const roundOf = (name: string): { readonly base: string; readonly round: number | undefined } => {
  const found = /^(.+?)\.(\d+)(?:\.\d+)*$/.exec(name)
  return found === null ? { base: name, round: undefined } : { base: found[1]!, round: Number(found[2]) }
}

interface Family {
  readonly base: string
  readonly members: Array<{ readonly stage: OutlineStage; readonly at: number; readonly round: number | undefined }>
}

/** Groups stages, which are in an order of running, into rows and loops. A stage of one round only keeps its full name. */
export const outline = (stages: ReadonlyArray<OutlineStage>): ReadonlyArray<Block> => {
  const families = new Map<string, Family>()
  stages.forEach((stage, at) => {
    const { partition } = stage
    const { base, round } = roundOf(partition === undefined ? stage.name : stage.name.replace(partition, ""))
    const key = `${round !== undefined} ${partition !== undefined} ${stage.operator}\n${base}`
    const family = families.get(key) ?? { base, members: [] }
    families.set(key, family)
    family.members.push({ stage, at, round })
  })

  const rowName = new Map<string, string>()
  for (const { base, members } of families.values()) {
    for (const { stage } of members) rowName.set(stage.name, members.length > 1 ? base : stage.name)
  }
  const blocks: Array<{ readonly rows: Array<Row>; readonly rounds: number; readonly secondRound: number }> = []
  for (const { members } of families.values()) {
    const first = members[0]!
    const row: Row = {
      name: rowName.get(first.stage.name)!,
      operator: first.stage.operator,
      stages: members.map(({ stage }) => stage.name),
      from: sourcesOf(
        members.map(({ stage }) => stage),
        (name) => rowName.get(name) ?? name
      )
    }
    const places = members.length > 1 ? members.map(({ round, stage }) => stage.partition ?? round) : []
    const rounds = new Set(places).size
    const last = blocks.at(-1)
    // A loop's first round is whole before its second begins; the next loop of as many rounds begins after all of it.
    if (last !== undefined && last.rounds === rounds && (rounds === 0 || first.at < last.secondRound)) {
      last.rows.push(row)
    } else {
      const second = rounds > 1 ? members.find((_, i) => places[i] !== places[0]) : undefined
      blocks.push({ rows: [row], rounds, secondRound: second?.at ?? Number.POSITIVE_INFINITY })
    }
  }
  return blocks.map(({ rows, rounds }) => ({ rows, rounds }))
}

const sourcesOf = (
  members: ReadonlyArray<OutlineStage>,
  rowName: (stage: string) => string
): ReadonlyArray<ReadonlyArray<string>> => {
  const slots = Math.max(...members.map(({ from }) => from.length))
  if (slots === 0) return []
  const seen = new Set<string>()
  return Array.from({ length: slots }, (_, slot) => {
    const names = new Set(members.flatMap(({ from }) => (slot < from.length ? [rowName(from[slot]!)] : [])))
    return [...names]
  }).filter((names) => {
    const text = names.join()
    return !seen.has(text) && seen.add(text)
  })
}
