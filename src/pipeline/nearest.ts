/**
 * The names nearest to a mistyped one.
 *
 * @since 0.1.0
 */

/** Up to three of `known` that are near `name`: few edits away (case counts for nothing), or the same after the last dot. */
export const nearest = (name: string, known: ReadonlyArray<string>): ReadonlyArray<string> => {
  const wanted = name.toLowerCase()
  return known
    .map((candidate) => {
      const text = candidate.toLowerCase()
      const last = (path: string) => path.slice(path.lastIndexOf(".") + 1)
      const whole = editDistance(wanted, text)
      const distance = Math.min(whole, 1 + editDistance(last(wanted), last(text)))
      return { candidate, distance, whole }
    })
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(wanted.length / 4)))
    .sort((a, b) => a.distance - b.distance || a.whole - b.whole || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, 3)
    .map(({ candidate }) => candidate)
}

/** Insertions, deletions and substitutions between two strings (Levenshtein). */
const editDistance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]!
}
