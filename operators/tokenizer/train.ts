/**
 * Training of byte pair encoding: from the bytes up, the most frequent pair of neighbouring tokens is made a token, over and over.
 * Counts are kept as merges change them, so that a merge costs what it touches (Sennrich et al. 2016; the incremental form is that of
 * Hugging Face `tokenizers`, with the same choice between equals).
 *
 * @since 0.1.0
 */
import { bytesInOrder, characterOfByte } from "./byte-characters.ts"

/** How often each word was seen. */
export type WordCounts = ReadonlyMap<string, number>

/** Training that goes on merge by merge. */
export interface Trainer {
  /** Makes the next token; false if no pair is seen twice. */
  readonly step: () => boolean
  /** Tokens so far, in the characters of bytes. */
  readonly tokens: ReadonlyArray<string>
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
  /** What training goes on from: a trainer that is made of it makes the same tokens. */
  readonly state: () => TrainerState
}

/** The words as the tokens that they are made of by now: word `w` is the next `lengths[w]` of `ids`, and was seen `counts[w]` times. */
export interface TrainerState {
  readonly ids: Int32Array
  readonly lengths: Int32Array
  readonly counts: Float64Array
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
}

/** Pairs seen less often are not merged. */
const LEAST_COUNT = 2

/** Words as their bytes. */
export const layOut = (wordCounts: WordCounts): TrainerState => {
  const idOfByte = new Int32Array(256)
  bytesInOrder.forEach((byte, id) => {
    idOfByte[byte] = id
  })
  const words = [...wordCounts].map(([word, count]) => ({ bytes: Buffer.from(word), count }))
  const ids = new Int32Array(words.reduce((sum, { bytes }) => sum + bytes.length, 0))
  let at = 0
  for (const { bytes } of words) for (const byte of bytes) ids[at++] = idOfByte[byte]!
  return {
    ids,
    lengths: Int32Array.from(words, ({ bytes }) => bytes.length),
    counts: Float64Array.from(words, ({ count }) => count),
    merges: []
  }
}

const startsOf = (lengths: Int32Array): Int32Array => {
  let at = 0
  return lengths.map((length) => {
    at += length
    return at - length
  })
}

/** Ids are below 2^25, so that a pair is an exact integer. */
const PAIR = 2 ** 25

/** How often each pair is seen, and the words in which it may be. */
const makePairs = () => {
  const numbers = new Map<number, number>()
  const keys: Array<number> = []
  const counts: Array<number> = []
  const words: Array<Array<number>> = []
  return {
    keys,
    counts,
    words,
    numberOf: (left: number, right: number): number => {
      const key = left * PAIR + right
      const known = numbers.get(key)
      if (known !== undefined) return known
      const number = keys.push(key) - 1
      numbers.set(key, number)
      counts.push(0)
      words.push([])
      return number
    }
  }
}

/**
 * A trainer over words; it starts with the 256 bytes, and what was merged before, as tokens. The choice of a pair depends on how often it is seen and
 * on the ids of its tokens alone, so that it does not matter when a trainer was made.
 */
export const makeTrainer = (from: TrainerState): Trainer => {
  const [ids, lengths, wordCount] = [from.ids.slice(), from.lengths.slice(), from.counts]
  const starts = startsOf(lengths)
  const pairs = makePairs()
  const tokens = bytesInOrder.map((byte) => characterOfByte[byte]!)
  const idOfToken = new Map(tokens.map((token, id) => [token, id]))
  const merges: Array<readonly [string, string]> = [...from.merges]
  for (const [left, right] of merges) {
    if (!idOfToken.has(left + right)) idOfToken.set(left + right, tokens.push(left + right) - 1)
  }

  const add = (left: number, right: number, word: number, count: number): number => {
    const pair = pairs.numberOf(left, right)
    pairs.counts[pair]! += count
    const list = pairs.words[pair]!
    if (count > 0 && list.at(-1) !== word) list.push(word)
    return pair
  }
  for (let w = 0; w < lengths.length; w++) {
    const start = starts[w]!
    for (let i = start; i < start + lengths[w]! - 1; i++) add(ids[i]!, ids[i + 1]!, w, wordCount[w]!)
  }
  const queue = makeQueue(pairs.keys)
  for (let pair = 0; pair < pairs.keys.length; pair++) queue.push(pair, pairs.counts[pair]!)

  /** Replaces the pair by `result` in one word, from the left, and tells which pairs became more frequent. */
  const mergeIn = (word: number, left: number, right: number, result: number, grown: Set<number>): void => {
    const start = starts[word]!
    const end = start + lengths[word]!
    const count = wordCount[word]!
    let to = start
    for (let from = start; from < end; from++) {
      if (from + 1 >= end || ids[from] !== left || ids[from + 1] !== right) {
        ids[to++] = ids[from]!
        continue
      }
      if (to > start) {
        add(ids[to - 1]!, left, word, -count)
        grown.add(add(ids[to - 1]!, result, word, count))
      }
      if (from + 2 < end) {
        add(right, ids[from + 2]!, word, -count)
        grown.add(add(result, ids[from + 2]!, word, count))
      }
      ids[to++] = result
      from++
    }
    lengths[word] = to - start
  }

  const step = (): boolean => {
    for (;;) {
      const top = queue.pop()
      if (top === undefined) return false
      const { count, pair } = top
      if (count !== pairs.counts[pair]) {
        if (pairs.counts[pair]! >= LEAST_COUNT) queue.push(pair, pairs.counts[pair]!)
        continue
      }
      if (count < LEAST_COUNT) return false
      const key = pairs.keys[pair]!
      const right = key % PAIR
      const left = (key - right) / PAIR
      const token = tokens[left]! + tokens[right]!
      const known = idOfToken.get(token)
      const result = known ?? tokens.push(token) - 1
      idOfToken.set(token, result)
      merges.push([tokens[left]!, tokens[right]!])
      const grown = new Set<number>()
      for (const word of pairs.words[pair]!) mergeIn(word, left, right, result, grown)
      pairs.words[pair] = []
      pairs.counts[pair] = 0
      grown.delete(pair)
      for (const more of grown) if (pairs.counts[more]! >= LEAST_COUNT) queue.push(more, pairs.counts[more]!)
      if (known === undefined) return true
    }
  }
  const state = (): TrainerState => {
    const current = new Int32Array(lengths.reduce((sum, length) => sum + length, 0))
    let to = 0
    for (let w = 0; w < lengths.length; w++) {
      current.set(ids.subarray(starts[w]!, starts[w]! + lengths[w]!), to)
      to += lengths[w]!
    }
    return { ids: current, lengths: lengths.slice(), counts: wordCount, merges: [...merges] }
  }

  return { step, tokens, merges, state }
}

/** Pairs by their counts: the highest count first, among equals the pair with the lowest ids. An entry whose count has changed is stale. */
const makeQueue = (keys: ReadonlyArray<number>) => {
  const entries: Array<{ readonly pair: number; readonly count: number }> = []
  type Entry = (typeof entries)[number]
  const before = (a: Entry, b: Entry) => a.count > b.count || (a.count === b.count && keys[a.pair]! < keys[b.pair]!)
  return {
    push: (pair: number, count: number) => {
      const entry = { pair, count }
      let at = entries.push(entry) - 1
      while (at > 0) {
        const parent = (at - 1) >> 1
        if (!before(entry, entries[parent]!)) break
        entries[at] = entries[parent]!
        at = parent
      }
      entries[at] = entry
    },
    pop: (): Entry | undefined => {
      const top = entries[0]
      const last = entries.pop()
      if (last === undefined || entries.length === 0) return top
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= entries.length) break
        if (child + 1 < entries.length && before(entries[child + 1]!, entries[child]!)) child++
        if (!before(entries[child]!, last)) break
        entries[at] = entries[child]!
        at = child
      }
      entries[at] = last
      return top
    }
  }
}
