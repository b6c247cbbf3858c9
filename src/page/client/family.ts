/**
 * Stages that are of one kind by their names: the rounds of a loop, and the partitions of a data set that are counted.
 *
 * @since 0.1.0
 */

/** The stages of a loop: what they are called by, and which round this one is of; null where it is of none. */
export const familyOf = (stage: string): { readonly name: string; readonly round: number | null } => {
  const [, name, round] = /^(.+)\.(\d+)$/.exec(stage) ?? []
  return name === undefined ? { name: stage, round: null } : { name, round: Number(round) }
}

/** A name without any number that counts: `score.shard-3.7` is a `score.shard`. */
export const kindOf = (stage: string): string => stage.replace(/[.\-_]\d+(?=[.\-_]|$)/g, "")
