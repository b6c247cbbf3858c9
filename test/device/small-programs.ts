/** Launches of small programs that tests of devices run: memory 0 is a table, 1 a sum, 2 has ids, 3 the state of two sequences. */
import type { AnyLaunch } from "../../src/device/kernel.ts"

export const count = 1000
const table = { memory: 0, offset: 0 }
const sum = { memory: 1, offset: 0 }

/** Bytes of memories 0 to 2. */
export const sizes = [4 * count, 4 * count, 16]

export const fill = (value: number): AnyLaunch => ({
  kernel: "fill",
  buffers: { out: table },
  integers: { count },
  reals: { value }
})

/** sum += table */
export const add: AnyLaunch = { kernel: "add", buffers: { a: sum, b: table, out: sum }, integers: { count }, reals: {} }

export const lookUp: AnyLaunch = {
  kernel: "embedding",
  buffers: { ids: { memory: 2, offset: 0 }, tokenTable: table, out: { memory: 1, offset: 400 } },
  integers: { rows: 4, width: 2, vocabulary: 5, context: 0 },
  reals: {}
}

/** Where each array of the sequences' state lies in memory 3: a place every `stride` bytes. */
export const place = { keys: 0, limits: 1, ids: 2, positions: 3, done: 4, tokens: 5, logProbability: 6 } as const

/** Draws a token for two sequences. */
export const sampling = (stride: number, capacity: number): AnyLaunch => {
  const at = (name: keyof typeof place) => ({ memory: 3, offset: stride * place[name] })
  return {
    kernel: "sample",
    buffers: {
      x: table,
      table,
      keys: at("keys"),
      limits: at("limits"),
      ids: at("ids"),
      positions: at("positions"),
      done: at("done"),
      tokens: at("tokens"),
      logProbability: at("logProbability")
    },
    integers: { batch: 2, width: 8, vocabulary: 16, capacity, topK: 0, endToken: -1 },
    reals: { temperature: 1, topP: 1 }
  }
}
