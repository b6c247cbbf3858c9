/**
 * Byte pair encoding of one word: of its first ids the pair of neighbours with the lowest rank is merged, the leftmost first, until no pair has a rank.
 *
 * @since 0.1.0
 */

/** A merge: tokens `left` and `right` become `result`. Its place in the list of merges is its rank. */
export interface Merge {
  readonly left: number
  readonly right: number
  readonly result: number
}

/** The ids that a word begins with to those that merging leaves; the array may be changed. */
export type MergeWord = (ids: Int32Array) => Int32Array

/** Merging by a list of merges over a vocabulary of `size` tokens. */
export const makeMergeWord = (merges: ReadonlyArray<Merge>, size: number): MergeWord => {
  const ranks = new Map<number, number>()
  for (let rank = merges.length - 1; rank >= 0; rank--) {
    const { left, right } = merges[rank]!
    ranks.set(left * size + right, rank)
  }
  const results = Int32Array.from(merges, ({ result }) => result)
  return (ids) => (ids.length <= 24 ? mergeShort : mergeLong)(ids, ranks, results, size)
}

/** Looks at all pairs for every merge: quadratic, and the fastest for words. */
const mergeShort = (
  ids: Int32Array,
  ranks: ReadonlyMap<number, number>,
  results: Int32Array,
  size: number
): Int32Array => {
  const pairRanks: Array<number> = []
  const rankAt = (i: number) => ranks.get(ids[i]! * size + ids[i + 1]!) ?? Number.POSITIVE_INFINITY
  for (let i = 0; i + 1 < ids.length; i++) pairRanks.push(rankAt(i))
  let { length } = ids
  while (length > 1) {
    let best = 0
    for (let i = 1; i < length - 1; i++) if (pairRanks[i]! < pairRanks[best]!) best = i
    const rank = pairRanks[best]!
    if (rank === Number.POSITIVE_INFINITY) break
    ids[best] = results[rank]!
    ids.copyWithin(best + 1, best + 2, length)
    pairRanks.splice(best, 1)
    length--
    if (best > 0) pairRanks[best - 1] = rankAt(best - 1)
    if (best < length - 1) pairRanks[best] = rankAt(best)
  }
  return ids.slice(0, length)
}

/** Keeps the pairs in a heap by rank and place: n log n, for words of any length. */
const mergeLong = (
  ids: Int32Array,
  ranks: ReadonlyMap<number, number>,
  results: Int32Array,
  size: number
): Int32Array => {
  const { length } = ids
  const next = Int32Array.from({ length }, (_, i) => i + 1)
  const previous = Int32Array.from({ length }, (_, i) => i - 1)
  // A pair in the heap is rank * length + place; it is stale if the pair at that place has another rank by now.
  const heap = makeHeap()
  const push = (i: number) => {
    const j = next[i]!
    const rank = j < length ? ranks.get(ids[i]! * size + ids[j]!) : undefined
    if (rank !== undefined) heap.push(rank * length + i)
  }
  for (let i = 0; i < length - 1; i++) push(i)
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const i = top % length
    const rank = (top - i) / length
    const j = next[i]!
    if (ids[i] === -1 || j >= length || ranks.get(ids[i]! * size + ids[j]!) !== rank) continue
    ids[i] = results[rank]!
    ids[j] = -1
    next[i] = next[j]!
    if (next[i]! < length) previous[next[i]!] = i
    if (previous[i]! >= 0) push(previous[i]!)
    push(i)
  }
  return ids.filter((id) => id !== -1)
}

/** A binary heap of numbers, least first. */
const makeHeap = () => {
  const items: Array<number> = []
  return {
    push: (item: number) => {
      let at = items.length
      items.push(item)
      while (at > 0) {
        const parent = (at - 1) >> 1
        if (items[parent]! <= item) break
        items[at] = items[parent]!
        at = parent
      }
      items[at] = item
    },
    pop: (): number | undefined => {
      const top = items[0]
      const last = items.pop()
      if (items.length === 0 || last === undefined) return top
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= items.length) break
        if (child + 1 < items.length && items[child + 1]! < items[child]!) child++
        if (items[child]! >= last) break
        items[at] = items[child]!
        at = child
      }
      items[at] = last
      return top
    }
  }
}
