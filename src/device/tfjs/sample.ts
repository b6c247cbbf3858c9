/**
 * Drawing the next token of each sequence: the logits come from the backend, the rest is done on the host, in the order in which the CPU
 * device does it.
 *
 * @since 0.1.0
 */
import { philox, uniform } from "../philox.ts"
import { type Call, OutOfRange } from "./call.ts"
import { multiply } from "./product.ts"

/** Weights of what lies past the topK largest logits, and then past the smallest prefix with topP of the rest's mass, become 0. */
const cut = (logits: Float32Array, weights: Float32Array, topK: number, topP: number): void => {
  const order = Uint32Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
  let kept = topK > 0 ? Math.min(topK, order.length) : order.length
  if (topP < 1) {
    let total = 0
    for (let i = 0; i < kept; i++) total += weights[order[i]!]!
    let mass = 0
    let taken = 0
    while (taken < kept && mass < topP * total) mass += weights[order[taken++]!]!
    kept = taken
  }
  for (let i = kept; i < order.length; i++) weights[order[i]!] = 0
}

/** The lowest id whose weights, summed from id 0, exceed u times their total; should rounding leave none, the last with a weight. */
const draw = (weights: Float32Array, u: number): number => {
  let total = 0
  for (const weight of weights) total += weight
  const goal = u * total
  let seen = 0
  let drawn = 0
  for (let id = 0; id < weights.length && seen <= goal; id++) {
    if (weights[id]! <= 0) continue
    drawn = id
    seen += weights[id]!
  }
  return drawn
}

interface Drawn {
  readonly token: number
  readonly logProbability: number
}

/** Draws from one row of logits. */
const drawRow = (
  logits: Float32Array,
  key: readonly [number, number],
  next: number,
  { temperature, topK, topP }: { readonly temperature: number; readonly topK: number; readonly topP: number }
): Drawn => {
  const greedy = temperature === 0
  const scale = greedy ? 1 : Math.fround(1 / temperature)
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
  const top = Math.fround(logits[best]! * scale)
  const weights = new Float32Array(logits.length)
  let sum = 0
  for (let id = 0; id < logits.length; id++) {
    weights[id] = Math.exp(Math.fround(logits[id]! * scale) - top)
    sum += weights[id]!
  }
  const logSumExp = top + Math.log(sum)
  let token = best
  if (!greedy) {
    // Logits that are not numbers have no order.
    if (((topK > 0 && topK < logits.length) || topP < 1) && !Number.isNaN(logSumExp)) cut(logits, weights, topK, topP)
    token = draw(weights, uniform(philox(key, [next, 0, 0, 0])[0]))
  }
  return { token, logProbability: logits[token]! * scale - logSumExp }
}

/** Gives whether every sequence is done. */
export const sample = async (call: Call<"sample">): Promise<boolean> => {
  const { batch, capacity, endToken, topK, vocabulary, width } = call.integers
  const state = (name: "ids" | "positions" | "done" | "tokens") => call.integersToChange(name)
  const done = state("done")
  const rows = Int32Array.from(done.keys()).filter((b) => done[b] === 0)
  if (rows.length === 0) return true
  const logits = call.tf.tidy(() =>
    multiply(
      call.tf,
      { matrix: call.get("x")([batch, width]), transposed: false },
      call.factor("table", [vocabulary, width], { transposed: true, precision: 0, lasting: true })
    )
  )
  const values = await logits.data<"float32">()
  logits.dispose()
  const [ids, positions, tokens] = [state("ids"), state("positions"), state("tokens")]
  const logProbability = call.realsToChange("logProbability")
  const [keys, limits] = [call.integersOf("keys"), call.integersOf("limits")]
  for (const b of rows) {
    const next = positions[b]! + 1
    if (next < 1 || next >= capacity) throw new OutOfRange(b, next, capacity)
    const row = values.subarray(b * vocabulary, (b + 1) * vocabulary)
    const drawn = drawRow(row, [keys[2 * b]!, keys[2 * b + 1]!], next, { ...call.reals, topK })
    ids[b] = tokens[b * capacity + next] = drawn.token
    logProbability[b * capacity + next] = drawn.logProbability
    positions[b] = next
    if (drawn.token === endToken || next >= limits[b]!) done[b] = 1
  }
  return done.every((flag) => flag !== 0)
}
