/**
 * Sets of row numbers as ranges: what an update was given, and which rows of a table came from which.
 *
 * @since 0.1.0
 */

/** Row numbers, from 0, as rising ranges, each from its first to its last row; there is a gap between any two. */
export type RowRanges = ReadonlyArray<readonly [first: number, last: number]>

/** Ranges in any order, which may overlap, as they are to be. */
const inOrder = (ranges: Array<readonly [number, number]>): RowRanges => {
  ranges.sort((a, b) => a[0] - b[0])
  const found: Array<[number, number]> = []
  for (const [first, last] of ranges) {
    const before = found.at(-1)
    if (before === undefined || first > before[1] + 1) found.push([first, last])
    else before[1] = Math.max(before[1], last)
  }
  return found
}

/** The set of some row numbers, in any order, some of them more than once. */
export const rangesOf = (rows: Iterable<number>): RowRanges =>
  inOrder(Array.from(rows, (row): readonly [number, number] => [row, row]))

/** The rows that are in any of several sets. */
export const union = (...sets: ReadonlyArray<RowRanges>): RowRanges => unionOf(sets)

/** The same of a list of sets, however many. */
export const unionOf = (sets: ReadonlyArray<RowRanges>): RowRanges => inOrder(sets.flat())

/** The first of the ranges that does not end before `row`: all that are of interest from there on. */
export const rangeAt = (ranges: RowRanges, row: number): number => {
  let [low, high] = [0, ranges.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (ranges[middle]![1] < row) low = middle + 1
    else high = middle
  }
  return low
}

/** The rows of `a` that are not in `b`. */
export const difference = (a: RowRanges, b: RowRanges): RowRanges => {
  const found: Array<readonly [number, number]> = []
  let at = 0
  for (const [first, last] of a) {
    let from = first
    while (at < b.length && b[at]![1] < from) at++
    for (let i = at; i < b.length && b[i]![0] <= last; i++) {
      if (b[i]![0] > from) found.push([from, b[i]![0] - 1])
      from = b[i]![1] + 1
    }
    if (from <= last) found.push([from, last])
  }
  return found
}

/** The rows that are in both sets. */
export const intersection = (a: RowRanges, b: RowRanges): RowRanges => difference(a, difference(a, b))

/** How many rows a set has. */
export const countRows = (ranges: RowRanges): number => ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)

/** A set as text: `0-15,17`; the empty one is the empty text. */
export const rangesText = (ranges: RowRanges): string =>
  ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",")

/** The set that `rangesText` wrote; of another text undefined. */
export const rangesFromText = (text: string): RowRanges | undefined => {
  const ranges: Array<readonly [number, number]> = []
  return eachRange(text, (first, last) => ranges.push([first, last])) ? ranges : undefined
}

/** Whether the set that `rangesText` wrote has a row of another. */
export const textMeets = (text: string, rows: RowRanges): boolean => {
  let meets = false
  const isSet = eachRange(text, (first, last) => {
    meets ||= (rows[rangeAt(rows, first)]?.[0] ?? Number.POSITIVE_INFINITY) <= last
  })
  return isSet && meets
}

/** Tells the ranges of a text that `rangesText` wrote; false where it is another. Traces have thousands: a character is looked at once. */
const eachRange = (text: string, tell: (first: number, last: number) => void): boolean => {
  if (text === "") return true
  let first = -1
  let number = 0
  let digits = 0
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? COMMA : text.charCodeAt(i)
    if (code >= ZERO && code <= ZERO + 9) {
      number = 10 * number + code - ZERO
      digits++
      continue
    }
    if (digits === 0 || (code === DASH ? first >= 0 : code !== COMMA)) return false
    if (code === DASH) first = number
    else {
      if (first > number) return false
      tell(first < 0 ? number : first, number)
      first = -1
    }
    number = digits = 0
  }
  return true
}

const [ZERO, DASH, COMMA] = [48, 45, 44]
