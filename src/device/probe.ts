/**
 * The numerics class of a device: the digest of the bits that its kernels give for fixed operands.
 *
 * Devices with equal probes share results. A probe is evidence and no proof: it runs every kernel of the table, each at shapes that take
 * different ways through it (one row, few rows, odd sizes, whole tiles), and kernels may still differ at other shapes.
 *
 * @since 0.1.0
 */
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DeviceError, DeviceShape, Real } from "./device.ts"
import { Activation, type AnyLaunch, type BufferRef, type KernelName, type Launch, Precision } from "./kernel.ts"
import { operandBytes } from "./operands.ts"
import { philox, uniform } from "./philox.ts"

/** A launch without its buffers: all that the kernel knows are given, but for those named. */
interface Case<K extends KernelName = KernelName> {
  readonly kernel: K
  readonly integers: Launch<K>["integers"]
  readonly reals: Launch<K>["reals"]
  readonly without: ReadonlyArray<string>
}
type AnyCase = { [K in KernelName]: Case<K> }[KernelName]

const one = <K extends KernelName>(
  kernel: K,
  integers: Launch<K>["integers"],
  reals: Launch<K>["reals"],
  without: ReadonlyArray<string> = []
): AnyCase => ({ kernel, integers, reals, without }) as AnyCase

const shapes = [
  { m: 1, n: 64, k: 64 },
  { m: 3, n: 50, k: 33 },
  { m: 8, n: 129, k: 256 },
  { m: 16, n: 128, k: 513 },
  { m: 96, n: 96, k: 96 },
  { m: 131, n: 77, k: 40 }
]
const layouts = [
  { transposeA: 0, transposeB: 0, accumulate: 0 },
  { transposeA: 0, transposeB: 1, accumulate: 0 },
  { transposeA: 1, transposeB: 0, accumulate: 1 },
  { transposeA: 1, transposeB: 1, accumulate: 0 }
]

/** All in f32, and the last also in bf16. */
const inPrecisions = <S extends object>(sizes: ReadonlyArray<S>) => [
  ...sizes.map((size) => ({ ...size, precision: Precision.f32 })),
  { ...sizes.at(-1)!, precision: Precision.bf16 }
]

const matmuls = inPrecisions(shapes).flatMap((shape) => [
  ...layouts.map((layout) =>
    one("matmul", { ...shape, ...layout, activation: Activation.none }, {}, [
      "pre",
      ...(layout.accumulate === 1 ? ["residual"] : [])
    ])
  ),
  one("matmul", { ...shape, ...layouts[0]!, activation: Activation.gelu }, {}, ["residual"]),
  one("matmul", { ...shape, ...layouts[1]!, activation: Activation.geluGradient }, {}, ["residual", "bias"])
])

/** Products of a training step that are large enough for another algorithm. */
const large = { m: 264, n: 300, k: 259, precision: Precision.f32, training: 1 }
const trained = [
  one("matmul", { ...large, ...layouts[0]!, activation: Activation.gelu }, {}, ["residual"]),
  one("matmul", { ...large, ...layouts[1]!, activation: Activation.none }, {}, ["pre"]),
  one("matmul", { ...large, ...layouts[2]!, activation: Activation.none }, {}, ["pre", "residual"])
]

const rows = [
  { rows: 1, width: 48 },
  { rows: 5, width: 33 },
  { rows: 70, width: 128 }
]
const attentions = inPrecisions([
  { batch: 1, length: 7, heads: 2, keyHeads: 2, headWidth: 8 },
  { batch: 2, length: 70, heads: 2, keyHeads: 1, headWidth: 32 },
  { batch: 1, length: 130, heads: 1, keyHeads: 1, headWidth: 64 }
])
const heads = inPrecisions([
  { rows: 1, width: 32, vocabulary: 50 },
  { rows: 9, width: 48, vocabulary: 259 },
  { rows: 70, width: 64, vocabulary: 1100 }
])
const adam = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 }

/** What is run, in this order. */
export const cases: ReadonlyArray<AnyCase> = [
  ...matmuls,
  ...trained,
  ...rows.flatMap((shape) => {
    const table = { ...shape, vocabulary: 20, context: 70 }
    return [
      one("layernorm", shape, { epsilon: 1e-5 }),
      one("layernormGradient", shape, {}),
      one("rmsnorm", shape, { epsilon: 1e-5 }),
      one("rmsnormGradient", shape, {}),
      one("swiglu", shape, {}),
      one("swigluGradient", shape, {}),
      one("rotaryTable", { rows: shape.rows, headWidth: 16 }, { theta: 10000 }),
      one("rotary", { rows: shape.rows, heads: 2, headWidth: 16, rowWidth: 40, inverse: 0 }, {}),
      one("embedding", table, {}),
      one("embeddingGradient", table, {}),
      one("biasGradient", shape, {}),
      one("scalarHead", shape, {}),
      one("scalarHeadGradient", { ...shape, accumulate: 0 }, {})
    ]
  }),
  ...attentions.flatMap((shape) => [
    one("attention", shape, {}, ["starts"]),
    one("attentionGradient", shape, {}, ["starts"]),
    one("attention", shape, {}),
    one("attentionGradient", shape, {})
  ]),
  ...heads.flatMap((shape) => [
    one("lmHead", shape, { inverseTemperature: 0.8 }),
    one("lmHeadGradient", shape, { inverseTemperature: 0.8 }),
    one("lmHeadLoss", shape, { inverseTemperature: 1 })
  ]),
  ...[1, 37, 5000].flatMap((count) => [
    one("fill", { count }, { value: 0.3 }),
    one("add", { count }, {}),
    one("scale", { count }, { factor: 0.3 }),
    one("gelu", { count }, {}),
    one("gradientNorm", { count }, {}),
    one("adamw", { count, decayCount: count >> 1, form: 0 }, { ...adam, maxNorm: 0 }),
    one("adamw", { count, decayCount: count, form: 1 }, { ...adam, maxNorm: 1 })
  ]),
  ...[1, 5].flatMap((batch) => [
    one("cacheWrite", { batch, length: 12, slots: batch, capacity: 40, heads: 2, keyHeads: 2, headWidth: 16 }, {}, [
      "places"
    ]),
    one("decodeAttention", { batch, capacity: 40, heads: 2, keyHeads: 2, headWidth: 16 }, {}),
    one(
      "sample",
      { batch, width: 32, vocabulary: 300, capacity: 40, topK: 0, endToken: -1 },
      { temperature: 0.9, topP: 1 }
    ),
    one(
      "sample",
      { batch, width: 32, vocabulary: 300, capacity: 40, topK: 20, endToken: -1 },
      { temperature: 1, topP: 0.9 }
    ),
    one(
      "sample",
      { batch, width: 32, vocabulary: 300, capacity: 40, topK: 0, endToken: -1 },
      { temperature: 0, topP: 1 }
    )
  ])
]

/** Changes with what is run, so that what was remembered of another probe is not taken for this one's. */
export const probeVersion = (): string =>
  createHash("sha256")
    .update(`ptmflow probe 3\n${JSON.stringify(cases)}`)
    .digest("hex")
    .slice(0, 16)

type IntegerValue = (sizes: { readonly [name: string]: number | undefined }, i: number) => number

/** Integer buffers: the values that the kernels accept. `keys` are those of the sampler; a cache's are reals. */
const integersFor: { readonly [buffer: string]: IntegerValue } = {
  ids: ({ vocabulary = 1 }, i) => (i * 7 + 3) % vocabulary,
  targets: ({ vocabulary = 1 }, i) => (i % 5 === 4 ? -1 : (i * 11 + 1) % vocabulary),
  positions: ({ capacity, context = 70 }, i) => (i * 3 + 2) % Math.max(1, (capacity ?? context) - 1),
  keys: (_, i) => philox([1, 2], [i, 0, 0, 0])[0]! | 0,
  starts: ({ length = 1 }, i) => (i % length) - ((i % length) % 29),
  limits: ({ capacity = 1 }) => capacity,
  done: () => 0,
  tokens: () => 0
}

/** Real buffers that are not any numbers. */
const realsFor: { readonly [buffer: string]: (value: number, i: number) => number } = {
  v: (value) => value * value,
  norm: () => 1.7,
  rstd: (value) => 0.5 + value * value,
  control: (_, i) => [3e-4, 0.1, 0.05, 0.1][i]!
}

/** The cases as launches of a program on one memory, and the bytes that this memory has before. */
export const layOut = (
  real: Real
): { readonly launches: ReadonlyArray<AnyLaunch>; readonly image: Uint8Array<ArrayBuffer> } => {
  const width = real === "f64" ? 8 : 4
  let end = 0
  const fills: Array<{ readonly offset: number; readonly data: Int32Array | Float32Array | Float64Array }> = []
  const launches = cases.map(({ integers, kernel, reals, without }, index): AnyLaunch => {
    const at = (): BufferRef => ({ memory: 0, offset: 0 })
    const named = new Proxy({}, { get: (_, name) => (without.includes(String(name)) ? undefined : at()) })
    const bare = { kernel, integers, reals, buffers: named } as unknown as AnyLaunch
    const buffers: Record<string, BufferRef> = {}
    operandBytes(bare, real).forEach(({ bytes, name }, slot) => {
      buffers[name] = { memory: 0, offset: end }
      const integer = name === "keys" && kernel !== "sample" ? undefined : integersFor[name]
      fills.push({ offset: end, data: operand(name, bytes, width, integers, integer, [index, slot]) })
      end += Math.ceil(bytes / 64) * 64
    })
    return { kernel, integers, reals, buffers } as unknown as AnyLaunch
  })
  const image = new Uint8Array(end)
  for (const { data, offset } of fills) {
    image.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
  }
  return { launches, image }
}

type Runs = Pick<DeviceShape, "allocate" | "compile" | "read" | "real" | "write">

/** Runs launches on a memory that has the bytes of an image before, which becomes what the memory has after. */
export const runLaunches = Effect.fnUntraced(function* (
  device: Runs,
  launches: ReadonlyArray<AnyLaunch>,
  image: Uint8Array<ArrayBuffer>
): Effect.fn.Return<Uint8Array<ArrayBuffer>, DeviceError, Scope.Scope> {
  const memory = yield* device.allocate(image.byteLength)
  yield* device.write(memory, 0, image)
  const program = yield* device.compile({ name: "probe", memories: 1, launches }, [memory])
  yield* program.run()
  yield* device.read(memory, 0, image)
  return image
}, Effect.scoped)

/** Runs the cases on a device and gives the digest of every buffer that they touch. Some tenths of a second, most of it for the operands. */
export const probe = (device: Runs): Effect.Effect<string, DeviceError> =>
  Effect.suspend(() => {
    const { image, launches } = layOut(device.real)
    return Effect.map(runLaunches(device, launches, image), (after) =>
      createHash("sha256").update(`ptmflow probe ${device.real}\n`).update(after).digest("hex")
    )
  })

const operand = (
  name: string,
  bytes: number,
  width: 4 | 8,
  sizes: { readonly [name: string]: number | undefined },
  integer: IntegerValue | undefined,
  [index, slot]: readonly [number, number]
) => {
  if (integer !== undefined) return Int32Array.from({ length: bytes / 4 }, (_, i) => integer(sizes, i))
  const shape = realsFor[name] ?? ((value: number) => value)
  const values = width === 8 ? new Float64Array(bytes / width) : new Float32Array(bytes / width)
  for (let i = 0; i < values.length; i += 4) {
    const words = philox([index, slot], [i >>> 2, 0, 0, 0])
    // From -1 to 1, exact in f32: the operands are the same bits wherever they are made.
    for (let k = 0; k < 4; k++) values[i + k] = shape(2 * uniform(words[k]!) - 1, i + k)
  }
  return values
}
