/**
 * Origins: which rows of an operator's input each row of its output came from.
 *
 * @since 0.1.0
 */
import { type RowRanges, rangeAt, unionOf } from "./row-ranges.ts"

/**
 * `rows` output rows, one after the other, of which the first came from the input rows `first` to `first + width - 1`, and each next one from those
 * `stride` further on. Where `rows` is 0 the row before came from these input rows too; where `width` is 0 they came from none.
 */
export type OriginRun = readonly [rows: number, first: number, stride: number, width: number]

/** The origins of all rows of a table, in their order. */
export type Origins = ReadonlyArray<OriginRun>

/** Puts origins together row by row. */
export interface OriginsBuilder {
  /** Each of the next `rows` (1) output rows came from all of these input rows. */
  readonly add: (from: RowRanges, rows?: number) => void
  /** The next output rows came as `runs` say, of an input whose first row is row `offset`. */
  readonly append: (runs: Origins, offset: number) => void
  readonly runs: () => Origins
}

/** A builder without rows. Runs grow for as long as they go on evenly. */
export const makeOrigins = (): OriginsBuilder => {
  const runs: Array<[number, number, number, number]> = []
  const push = (rows: number, first: number, stride: number, width: number) => {
    const last = runs.at(-1)
    if (last !== undefined && rows > 0 && last[0] > 0 && last[3] === width) {
      const step = first - (last[1] + last[2] * (last[0] - 1))
      const goesOn = step >= 0 && (last[0] === 1 || step === last[2]) && (rows === 1 || stride === step)
      if (goesOn) {
        last[0] += rows
        last[2] = step
        return
      }
    }
    runs.push([rows, first, rows === 1 ? 0 : stride, width])
  }
  return {
    add: (from, rows = 1) => {
      if (from.length > 1) {
        for (let row = 0; row < rows; row++) {
          from.forEach(([first, last], i) => {
            push(i === 0 ? 1 : 0, first, 0, last - first + 1)
          })
        }
        return
      }
      const [first, last] = from[0] ?? [0, -1]
      if (rows > 0) push(rows, first, 0, last - first + 1)
    },
    append: (more, offset) => {
      for (const [rows, first, stride, width] of more) push(rows, first + offset, stride, width)
    },
    runs: () => runs
  }
}

/** Origins of rows each of which came from the input row with its own number. */
export const identity = (rows: number): Origins => (rows === 0 ? [] : [[rows, 0, rows === 1 ? 0 : 1, 1]])

/** The output rows that came from some of these input rows. */
export const outputsOf = (origins: Origins, inputs: RowRanges): RowRanges => {
  const found: Array<readonly [number, number]> = []
  let next = 0
  for (const [rows, first, stride, width] of origins) {
    const start = rows === 0 ? next - 1 : next
    const most = first + stride * Math.max(rows - 1, 0) + width - 1
    for (
      let i = width === 0 ? inputs.length : rangeAt(inputs, first);
      i < inputs.length && inputs[i]![0] <= most;
      i++
    ) {
      const [from, to] = inputs[i]!
      // Row k of the run came from first + stride k to first + stride k + width - 1.
      const low = stride === 0 ? 0 : Math.max(0, Math.ceil((from - width + 1 - first) / stride))
      const high = stride === 0 ? Math.max(rows - 1, 0) : Math.min(rows - 1, Math.floor((to - first) / stride))
      if (low <= high) found.push([start + low, start + high])
    }
    next += rows
  }
  return unionOf([found])
}

/** The input rows that these output rows came from. */
export const inputsOf = (origins: Origins, outputs: RowRanges): RowRanges => {
  const found: Array<readonly [number, number]> = []
  let next = 0
  for (const [rows, first, stride, width] of origins) {
    const start = rows === 0 ? next - 1 : next
    const end = start + Math.max(rows - 1, 0)
    for (let i = width === 0 ? outputs.length : rangeAt(outputs, start); i < outputs.length; i++) {
      const [from, to] = outputs[i]!
      if (from > end) break
      const low = Math.max(from, start) - start
      const high = Math.min(to, end) - start
      if (low > high) continue
      if (stride <= width) found.push([first + stride * low, first + stride * high + width - 1])
      else for (let k = low; k <= high; k++) found.push([first + stride * k, first + stride * k + width - 1])
    }
    next += rows
  }
  return unionOf([found])
}

/** The origins of a value, by input port, where it is a table of which they are known. */
export const originsOf = (value: unknown): { readonly [port: string]: Origins } => {
  if (typeof value !== "object" || value === null || !("origins" in value)) return {}
  return (value.origins as (() => { readonly [port: string]: Origins }) | undefined)?.() ?? {}
}
