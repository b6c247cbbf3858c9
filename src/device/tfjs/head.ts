/**
 * The language-model head and the scalar head. Logits exist for a chunk of rows at a time, and for rows that have a target only.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor2D } from "@tensorflow/tfjs-core"
import { Precision } from "../kernel.ts"
import { type Call, type Factor, OutOfRange, rounded } from "./call.ts"
import { multiply } from "./product.ts"

/** Elements of logits that exist at once. */
const logitElements = 8 * 1024 * 1024

/** What of the head is wanted, and what is given. */
interface Wanted {
  readonly statistics: boolean
  readonly gradient: boolean
  /** Read from the launch, where the statistics are not made in it. */
  readonly saved: boolean
}

type HeadCall = Call<"lmHead"> | Call<"lmHeadGradient"> | Call<"lmHeadLoss">

/** Rows with a target; a target that is not in the vocabulary is a fault. */
const countedRows = (targets: Int32Array, vocabulary: number): Int32Array => {
  const rows: Array<number> = []
  targets.forEach((target, row) => {
    if (target >= vocabulary) throw new OutOfRange(row, target, vocabulary)
    if (target >= 0) rows.push(row)
  })
  return Int32Array.from(rows)
}

const head = (anyCall: HeadCall, { gradient, saved, statistics }: Wanted): void => {
  // The launch with all the buffers that any of the three has.
  const call = anyCall as unknown as Call<"lmHead"> & Call<"lmHeadGradient"> & Call<"lmHeadLoss">
  const { tf } = call
  const { moves } = call.backend
  const { precision, rows, vocabulary, width } = call.integers
  const scale = call.reals.inverseTemperature
  const targets = call.integersOf("targets")
  const counted = countedRows(targets, vocabulary)
  const whole = counted.length === rows
  const x = call.get("x")([rows, width])
  const table = (transposed: boolean) =>
    call.factor("table", [vocabulary, width], { transposed, precision, lasting: true })
  const factor = (matrix: Tensor2D, transposed = false): Factor => {
    const turned = transposed && call.backend.plainProducts
    const exact = precision === Precision.bf16 ? rounded(tf, matrix) : matrix
    return { matrix: turned ? moves.transpose(exact) : exact, transposed: transposed && !turned }
  }
  const perRow = (name: "logSumExp" | "entropy" | "dLogProbability" | "dEntropy", chosen: Int32Array): Tensor => {
    const values = call.get(name as "logSumExp")([rows, 1])
    return whole && chosen.length === rows ? values : moves.rows(values, chosen)
  }

  const parts: { readonly [name: string]: Array<Tensor> } = { logProbability: [], entropy: [], logSumExp: [], dx: [] }
  const most = Math.max(1, Math.floor(logitElements / vocabulary))
  for (let from = 0; from < counted.length; from += most) {
    const results = tf.tidy(() => {
      const chosen = counted.slice(from, from + most)
      const count = chosen.length
      const inputs = whole && count === rows ? x : moves.rows(x, chosen)
      const product = multiply(tf, factor(inputs), table(true))
      const logits = scale === 1 ? product : (tf.mul(product, scale) as Tensor2D)
      const made: Record<string, Tensor> = {}
      let logSumExp = saved ? perRow("logSumExp", chosen) : undefined
      if (statistics) {
        const top = tf.max(logits, 1, true)
        const shifted = tf.sub(logits, top)
        const weights = tf.exp(shifted)
        const sums = tf.sum(weights, 1, true)
        logSumExp = tf.add(top, tf.log(sums))
        const at = Int32Array.from(chosen, (row, i) => i * vocabulary + targets[row]!)
        const target = moves.rows(tf.reshape(logits, [count * vocabulary, 1]), at)
        made["logProbability"] = tf.sub(target, logSumExp)
        if (call.has("entropy"))
          made["entropy"] = tf.sub(tf.log(sums), tf.div(tf.sum(tf.mul(weights, shifted), 1, true), sums))
        if (call.has("logSumExp")) made["logSumExp"] = logSumExp
      }
      if (gradient) {
        const z = tf.sub(logits, logSumExp!)
        const dLogProbability = perRow("dLogProbability", chosen)
        const along = call.has("dEntropy")
          ? tf.add(dLogProbability, tf.mul(perRow("dEntropy", chosen), tf.add(z, perRow("entropy", chosen))))
          : dLogProbability
        const ids = tf.tensor1d(
          Int32Array.from(chosen, (row) => targets[row]!),
          "int32"
        )
        const hit = tf.mul(tf.cast(tf.oneHot(ids, vocabulary), "float32"), dLogProbability)
        const dLogits = tf.mul(tf.sub(hit, tf.mul(tf.exp(z), along)), scale) as Tensor2D
        made["dx"] = multiply(tf, factor(dLogits), table(false))
        if (call.has("dTable")) call.add("dTable", multiply(tf, factor(dLogits, true), factor(inputs)))
      }
      return made
    })
    for (const [name, tensor] of Object.entries(results)) parts[name]!.push(tensor)
  }

  // Rows without a target get zeros.
  const places = new Int32Array(rows).fill(counted.length)
  counted.forEach((row, i) => {
    places[row] = i
  })
  const put = (name: "logProbability" | "entropy" | "logSumExp" | "dx", columns: number) => {
    const found = parts[name]!.map((part) => tf.reshape(part, [-1, columns]) as Tensor2D)
    if (whole && found.length === 1) return call.set(name as "dx", found[0]!)
    const extended = tf.concat2d([...found, tf.zeros([1, columns])], 0)
    call.set(name as "dx", moves.rows(extended, places))
  }
  if (statistics) put("logProbability", 1)
  if (statistics && call.has("entropy")) put("entropy", 1)
  if (statistics && call.has("logSumExp")) put("logSumExp", 1)
  if (gradient) put("dx", width)
}

export const lmHead = (call: Call<"lmHead">): void => head(call, { statistics: true, gradient: false, saved: false })
export const lmHeadGradient = (call: Call<"lmHeadGradient">): void =>
  head(call, { statistics: false, gradient: true, saved: true })
export const lmHeadLoss = (call: Call<"lmHeadLoss">): void =>
  head(call, { statistics: true, gradient: true, saved: false })

export const scalarHead = (call: Call<"scalarHead">): void => {
  const { rows, width } = call.integers
  const product = call.tf.matMul(call.get("x")([rows, width]), call.get("weight")([width, 1]))
  call.set("out", call.tf.add(product, call.get("bias")([1])))
}

export const scalarHeadGradient = (call: Call<"scalarHeadGradient">): void => {
  const { tf } = call
  const { accumulate, rows, width } = call.integers
  const dOut = call.get("dOut")
  const dx = tf.mul(dOut([rows, 1]), call.get("weight")([1, width]))
  call.add("dWeight", tf.matMul(dOut([1, rows]), call.get("x")([rows, width])))
  call.add("dBias", tf.sum(dOut([rows])))
  if (accumulate === 1) call.add("dx", dx)
  else call.set("dx", dx)
}
