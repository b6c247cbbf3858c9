/**
 * Stages that are of one kind: `ppo.1`, `ppo.2` ... of a loop, or the partitions of a data set.
 *
 * @since 0.1.0
 */

/** What stages of a family are called by, and the number of this one; null where it has none. */
export const familyOf = (stage: string): { readonly name: string; readonly round: number | null } => {
  const found = /^(.*?)[.\-[]?(\d+)\]?(\..*)?$/.exec(stage)
  if (found === null) return { name: stage, round: null }
  const [, name = "", number = "", rest = ""] = found
  return name === "" ? { name: stage, round: null } : { name: `${name}${rest}`, round: Number(number) }
}
