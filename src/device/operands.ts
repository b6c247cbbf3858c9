/**
 * How far each buffer of a launch reaches, and whether a launch may run at all. Devices call `checkLaunch` once, when they compile
 * a program; after that no kernel reads or writes outside its memories, but for ids and positions, which kernels check themselves.
 *
 * @since 0.1.0
 */
import type { Real } from "./device.ts"
import {
  Activation,
  type AnyLaunch,
  type BufferRef,
  cacheBlock,
  type KernelName,
  kernels,
  type Launch,
  Precision
} from "./kernel.ts"

type Names<K extends KernelName> = (typeof kernels)[K]["buffers"][number]
type Plain<Name extends string> = Name extends `${infer N}?` ? N : Name
/** Bytes of each buffer by the launch's integers; `i` is the size of an i32 and `r` that of a real. */
type Reach = {
  readonly [K in KernelName]: (
    n: Launch<K>["integers"],
    r: number,
    i: number
  ) => { readonly [N in Plain<Names<K>>]: number }
}

const qkvBytes = (n: { heads: number; keyHeads: number; headWidth: number }, rows: number, r: number) =>
  r * rows * (n.heads + 2 * n.keyHeads) * n.headWidth

const cacheBytes = (n: { batch: number; capacity: number; keyHeads: number; headWidth: number }, r: number) => {
  const position = r * n.batch * n.keyHeads * n.headWidth
  return { keys: position * Math.ceil(n.capacity / cacheBlock) * cacheBlock, values: position * n.capacity }
}

const reach: Reach = {
  fill: (n, r) => ({ out: r * n.count }),
  add: (n, r) => ({ a: r * n.count, b: r * n.count, out: r * n.count }),
  scale: (n, r) => ({ x: r * n.count, out: r * n.count }),
  embedding: (n, r, i) => ({
    ids: i * n.rows,
    positions: i * n.rows,
    tokenTable: r * n.vocabulary * n.width,
    positionTable: r * n.context * n.width,
    out: r * n.rows * n.width
  }),
  embeddingGradient: (n, r, i) => ({
    ids: i * n.rows,
    positions: i * n.rows,
    dOut: r * n.rows * n.width,
    dTokenTable: r * n.vocabulary * n.width,
    dPositionTable: r * n.context * n.width
  }),
  layernorm: (n, r) => ({
    x: r * n.rows * n.width,
    gamma: r * n.width,
    beta: r * n.width,
    out: r * n.rows * n.width,
    mean: r * n.rows,
    rstd: r * n.rows
  }),
  layernormGradient: (n, r) => ({
    dOut: r * n.rows * n.width,
    x: r * n.rows * n.width,
    gamma: r * n.width,
    mean: r * n.rows,
    rstd: r * n.rows,
    dResidual: r * n.rows * n.width,
    dx: r * n.rows * n.width,
    dGamma: r * n.width,
    dBeta: r * n.width
  }),
  rmsnorm: (n, r) => ({
    x: r * n.rows * n.width,
    gamma: r * n.width,
    out: r * n.rows * n.width,
    rstd: r * n.rows
  }),
  rmsnormGradient: (n, r) => ({
    dOut: r * n.rows * n.width,
    x: r * n.rows * n.width,
    gamma: r * n.width,
    rstd: r * n.rows,
    dResidual: r * n.rows * n.width,
    dx: r * n.rows * n.width,
    dGamma: r * n.width
  }),
  swiglu: (n, r) => ({ x: 2 * r * n.rows * n.width, out: r * n.rows * n.width }),
  swigluGradient: (n, r) => ({
    dOut: r * n.rows * n.width,
    x: 2 * r * n.rows * n.width,
    dx: 2 * r * n.rows * n.width
  }),
  rotaryTable: (n, r, i) => ({ positions: i * n.rows, table: r * n.rows * n.headWidth }),
  rotary: (n, r) => ({ table: r * n.rows * n.headWidth, x: r * n.rows * n.rowWidth }),
  matmul: (n, r) => ({
    a: r * n.m * n.k,
    b: r * n.k * n.n,
    bias: r * n.n,
    residual: r * n.m * n.n,
    pre: r * n.m * n.n,
    slope: r * n.m * n.n,
    out: r * n.m * n.n
  }),
  gelu: (n, r) => ({ x: r * n.count, out: r * n.count, slope: r * n.count }),
  biasGradient: (n, r) => ({ dOut: r * n.rows * n.width, dBias: r * n.width }),
  attention: (n, r, i) => {
    const out = r * n.batch * n.length * n.heads * n.headWidth
    const starts = i * n.batch * n.length
    return { qkv: qkvBytes(n, n.batch * n.length, r), starts, out, logSumExp: r * n.batch * n.heads * n.length }
  },
  attentionGradient: (n, r, i) => {
    const out = r * n.batch * n.length * n.heads * n.headWidth
    const qkv = qkvBytes(n, n.batch * n.length, r)
    const starts = i * n.batch * n.length
    return { dOut: out, qkv, starts, out, logSumExp: r * n.batch * n.heads * n.length, dQkv: qkv }
  },
  lmHead: (n, r, i) => ({
    x: r * n.rows * n.width,
    table: r * n.vocabulary * n.width,
    targets: i * n.rows,
    logProbability: r * n.rows,
    entropy: r * n.rows,
    logSumExp: r * n.rows
  }),
  lmHeadGradient: (n, r, i) => ({
    x: r * n.rows * n.width,
    table: r * n.vocabulary * n.width,
    targets: i * n.rows,
    logSumExp: r * n.rows,
    entropy: r * n.rows,
    dLogProbability: r * n.rows,
    dEntropy: r * n.rows,
    dx: r * n.rows * n.width,
    dTable: r * n.vocabulary * n.width
  }),
  lmHeadLoss: (n, r, i) => ({
    x: r * n.rows * n.width,
    table: r * n.vocabulary * n.width,
    targets: i * n.rows,
    dLogProbability: r * n.rows,
    logProbability: r * n.rows,
    dx: r * n.rows * n.width,
    dTable: r * n.vocabulary * n.width
  }),
  scalarHead: (n, r) => ({ x: r * n.rows * n.width, weight: r * n.width, bias: r, out: r * n.rows }),
  scalarHeadGradient: (n, r) => ({
    x: r * n.rows * n.width,
    weight: r * n.width,
    dOut: r * n.rows,
    dx: r * n.rows * n.width,
    dWeight: r * n.width,
    dBias: r
  }),
  gradientNorm: (n, r) => ({ gradients: r * n.count, norm: r }),
  adamw: (n, r) => ({
    weights: r * n.count,
    gradients: r * n.count,
    m: r * n.count,
    v: r * n.count,
    norm: r,
    control: r * 4
  }),
  cacheWrite: (n, r, i) => ({
    qkv: qkvBytes(n, n.batch * n.length, r),
    places: i * n.batch,
    ...cacheBytes({ ...n, batch: n.slots }, r)
  }),
  decodeAttention: (n, r, i) => ({
    qkv: qkvBytes(n, n.batch, r),
    positions: i * n.batch,
    ...cacheBytes(n, r),
    out: r * n.batch * n.heads * n.headWidth
  }),
  sample: (n, r, i) => ({
    x: r * n.batch * n.width,
    table: r * n.vocabulary * n.width,
    keys: 2 * i * n.batch,
    limits: i * n.batch,
    ids: i * n.batch,
    positions: i * n.batch,
    done: i * n.batch,
    tokens: i * n.batch * n.capacity,
    logProbability: r * n.batch * n.capacity
  })
}

/** A buffer of a launch and how many bytes of it the kernel may touch. */
export interface Operand {
  readonly name: string
  readonly buffer: BufferRef
  readonly bytes: number
}

/** The buffers that a launch has, in the order of the kernel table, with the bytes that the kernel may touch from each one's offset. */
export const operandBytes = (launch: AnyLaunch, real: Real): ReadonlyArray<Operand> => {
  const shapes = reach[launch.kernel] as (n: object, r: number, i: number) => Record<string, number>
  const bytes = shapes(launch.integers, real === "f64" ? 8 : 4, 4)
  const buffers: Record<string, BufferRef | undefined> = launch.buffers
  return kernels[launch.kernel].buffers.flatMap((declared) => {
    const name = declared.replace("?", "")
    const buffer = buffers[name]
    return buffer === undefined ? [] : [{ name, buffer, bytes: bytes[name]! }]
  })
}

/** Integers that are not sizes, and so need not be positive, with their least and greatest value. */
const ranges: Record<string, readonly [least: number, most: number]> = {
  transposeA: [0, 1],
  transposeB: [0, 1],
  inverse: [0, 1],
  accumulate: [0, 1],
  activation: [0, Activation.geluGradient],
  precision: [0, Precision.bf16],
  training: [0, 1],
  form: [0, 1],
  context: [0, 2 ** 31 - 1],
  decayCount: [0, Number.MAX_SAFE_INTEGER],
  topK: [0, 2 ** 31 - 1],
  endToken: [-(2 ** 31), 2 ** 31 - 1]
}

const ungrouped = ({ heads, keyHeads }: { heads: number; keyHeads: number }) =>
  heads % keyHeads === 0 ? null : `heads ${heads} is not a multiple of keyHeads ${keyHeads}`
const odd = ({ headWidth }: { headWidth: number }) =>
  headWidth % 2 === 0 ? null : `headWidth ${headWidth} is odd: rotation takes pairs`

/** What a kernel asks beyond the sizes of its buffers. */
const rule = (launch: AnyLaunch): string | null => {
  switch (launch.kernel) {
    case "embedding":
      if ((launch.buffers.positions === undefined) !== (launch.buffers.positionTable === undefined)) {
        return "positions and positionTable go together"
      }
      return launch.buffers.positionTable !== undefined && launch.integers.context === 0 ? "context is 0" : null
    case "embeddingGradient":
      if ((launch.buffers.positions === undefined) !== (launch.buffers.dPositionTable === undefined)) {
        return "positions and dPositionTable go together"
      }
      return launch.buffers.dPositionTable !== undefined && launch.integers.context === 0 ? "context is 0" : null
    case "matmul": {
      const { activation, accumulate } = launch.integers
      if (activation === Activation.geluGradient && launch.buffers.slope === undefined)
        return "geluGradient needs slope"
      if (activation !== Activation.none && launch.buffers.residual !== undefined)
        return "residual needs activation none"
      return accumulate === 1 && (activation !== Activation.none || launch.buffers.residual !== undefined)
        ? "accumulate needs activation none and no residual"
        : null
    }
    case "lmHeadGradient":
      return launch.buffers.dEntropy !== undefined && launch.buffers.entropy === undefined
        ? "dEntropy needs entropy"
        : null
    case "adamw": {
      const { decayCount, count } = launch.integers
      return decayCount > count ? `decayCount ${decayCount} is more than count ${count}` : null
    }
    case "attention":
    case "attentionGradient":
    case "decodeAttention":
      return ungrouped(launch.integers)
    case "cacheWrite": {
      const { batch, capacity, length, slots } = launch.integers
      if (length > capacity) return `length ${length} is more than capacity ${capacity}`
      if (launch.buffers.places === undefined && batch > slots) return `batch ${batch} is more than slots ${slots}`
      return ungrouped(launch.integers)
    }
    case "rotaryTable":
      return odd(launch.integers)
    case "rotary": {
      const { heads, headWidth, rowWidth } = launch.integers
      return heads * headWidth > rowWidth
        ? `${heads} heads of ${headWidth} are more than rowWidth ${rowWidth}`
        : odd(launch.integers)
    }
    case "sample": {
      const { temperature, topP } = launch.reals
      if (!(temperature >= 0 && temperature < Infinity)) return `temperature ${temperature} is not 0 or more`
      return topP > 0 && topP <= 1 ? null : `topP ${topP} is not in (0, 1]`
    }
    default:
      return null
  }
}

/**
 * Why a launch of a program must not run, or null if it may: a missing buffer, an integer out of its range, or a buffer that reaches
 * beyond its memory. The message names the launch's index, its kernel and the operand.
 */
export const checkLaunch = (
  launch: AnyLaunch,
  index: number,
  real: Real,
  memories: ReadonlyArray<{ readonly bytes: number }>
): string | null => {
  const place = `launch ${index} (${launch.kernel})`
  const integers: Record<string, number | undefined> = launch.integers
  for (const declared of kernels[launch.kernel].integers) {
    const name = declared.replace("?", "")
    const value = integers[name] ?? (declared === name ? Number.NaN : 0)
    const [least, most] = ranges[name] ?? [1, Number.MAX_SAFE_INTEGER]
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      return `${place}: ${name} is ${value}, not an integer from ${least} to ${most}`
    }
  }
  const broken = rule(launch)
  if (broken !== null) return `${place}: ${broken}`
  const buffers: Record<string, BufferRef | undefined> = launch.buffers
  for (const name of kernels[launch.kernel].buffers) {
    if (!name.endsWith("?") && buffers[name] === undefined) return `${place}: buffer ${name} is missing`
  }
  for (const { name, buffer, bytes } of operandBytes(launch, real)) {
    const memory = memories[buffer.memory]
    if (memory === undefined) {
      return `${place}: buffer ${name} is in memory ${buffer.memory}, and the program has ${memories.length}`
    }
    if (!Number.isSafeInteger(buffer.offset) || buffer.offset < 0 || buffer.offset % 4 !== 0) {
      return `${place}: buffer ${name} has offset ${buffer.offset}, not a multiple of 4`
    }
    if (buffer.offset + bytes > memory.bytes) {
      return `${place}: buffer ${name} needs bytes ${buffer.offset} to ${buffer.offset + bytes} of memory ${buffer.memory}, which has ${memory.bytes}`
    }
  }
  return null
}
