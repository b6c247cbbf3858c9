/** One kernel launch on given arrays, and what tests of kernels compare with. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Device } from "../../src/device/device.ts"
import type { AnyLaunch, BufferRef, KernelName, Launch } from "../../src/device/kernel.ts"
import { normal } from "../../src/device/philox.ts"

/** Reals are given as Float64Array and rounded to the device's type, integers as Int32Array. */
export type Values = Float64Array | Int32Array
export type Buffers<K extends KernelName> = { readonly [N in keyof Launch<K>["buffers"]]: Values }
export type Results<K extends KernelName> = { readonly [N in keyof Launch<K>["buffers"]]-?: Float64Array }

const guard = 0xab
const guardBytes = 64

/**
 * Runs a launch `times` times and gives back how that ended and all of its buffers. Arrays given under two names are one buffer.
 * Between the buffers lie guards, which no kernel may touch.
 */
export const attempt = Effect.fnUntraced(function* <K extends KernelName>(
  kernel: K,
  buffers: Buffers<K>,
  integers: Launch<K>["integers"],
  reals: Launch<K>["reals"],
  times = 1
) {
  const device = yield* Device
  const Real = device.real === "f64" ? Float64Array : Float32Array
  const given = Object.entries(buffers as Record<string, Values>)
  const offsets = new Map<Values, number>()
  let end = guardBytes
  for (const [, values] of given) {
    if (offsets.has(values)) continue
    offsets.set(values, end)
    const bytes = values.length * (values instanceof Int32Array ? 4 : Real.BYTES_PER_ELEMENT)
    end += Math.ceil(bytes / 8) * 8 + guardBytes
  }
  const image = new Uint8Array(end).fill(guard)
  const view = (values: Values) => {
    const View = values instanceof Int32Array ? Int32Array : Real
    return new View(image.buffer, offsets.get(values)!, values.length)
  }
  const touched = new Uint8Array(end)
  for (const values of offsets.keys()) {
    view(values).set(values)
    const { byteOffset, byteLength } = view(values)
    touched.fill(1, byteOffset, byteOffset + byteLength)
  }
  const exit = yield* Effect.gen(function* () {
    const memory = yield* device.allocate(end)
    yield* device.write(memory, 0, image)
    const refs: Record<string, BufferRef> = {}
    for (const [name, values] of given) refs[name] = { memory: 0, offset: offsets.get(values)! }
    const launch = { kernel, buffers: refs, integers, reals } as unknown as AnyLaunch
    const executable = yield* device.compile({ name: `test ${kernel}`, memories: 1, launches: [launch] }, [memory])
    const ended = yield* Effect.exit(executable.run(times))
    yield* device.read(memory, 0, image)
    return ended
  }).pipe(Effect.scoped)
  for (let byte = 0; byte < end; byte++) {
    if (touched[byte] === 0 && image[byte] !== guard)
      assert.fail(`${kernel} wrote outside its buffers, at byte ${byte}`)
  }
  const results: Record<string, Float64Array> = {}
  for (const [name, values] of given) results[name] = Float64Array.from(view(values))
  return { exit, results: results as unknown as Results<K> }
})

/** Runs a launch and gives back its buffers. */
export const run = Effect.fnUntraced(function* <K extends KernelName>(
  kernel: K,
  buffers: Buffers<K>,
  integers: Launch<K>["integers"],
  reals: Launch<K>["reals"],
  times = 1
) {
  const { exit, results } = yield* attempt(kernel, buffers, integers, reals, times)
  yield* exit
  return results
})

/** Normal numbers that are exact in f32. */
export const random = (seed: number, count: number, deviation = 1): Float64Array => {
  const values = new Float32Array(count)
  normal([seed, 0], values, deviation)
  return Float64Array.from(values)
}

export const zeros = (count: number): Float64Array => new Float64Array(count)

/** The largest difference, relative to the largest expected magnitude, is at most `tolerance`. */
export const close = (actual: Float64Array, expected: ArrayLike<number>, tolerance: number, what = ""): void => {
  assert.strictEqual(actual.length, expected.length, what)
  let scale = 1e-30
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]!))
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!) / scale
    if (!(error <= tolerance)) {
      assert.fail(`${what}[${i}] is ${actual[i]}, expected ${expected[i]}: relative error ${error}`)
    }
  }
}

/** Equal bit for bit. */
export const sameBits = (actual: Float64Array, expected: Float64Array, what = ""): void => {
  assert.strictEqual(actual.length, expected.length, what)
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(actual[i], expected[i])) assert.fail(`${what}[${i}] is ${actual[i]}, not ${expected[i]}`)
  }
}

/** Sum of a[i] * b[i]. */
export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

/**
 * Compares a gradient with central differences of the loss in at most `samples` elements spread over the input. For an f64 device:
 * the relative error is below 1e-6 of the largest element.
 */
export const checkGradient = Effect.fnUntraced(function* <E, R>(
  what: string,
  loss: (x: Float64Array) => Effect.Effect<number, E, R>,
  x: Float64Array,
  gradient: Float64Array,
  samples = 40
) {
  const h = 1e-4
  const step = Math.max(1, Math.floor(x.length / samples))
  const analytic: Array<number> = []
  const numeric: Array<number> = []
  for (let i = 0; i < x.length; i += step) {
    const at = (delta: number) => {
      const moved = x.slice()
      moved[i]! += delta
      return loss(moved)
    }
    // Fourth order, so that truncation stays far below the bound.
    const near = (yield* at(h)) - (yield* at(-h))
    const far = (yield* at(2 * h)) - (yield* at(-2 * h))
    numeric.push((8 * near - far) / (12 * h))
    analytic.push(gradient[i]!)
  }
  assert.isAbove(Math.max(...analytic.map(Math.abs)), 1e-3, `${what}: the gradient is not trivial`)
  close(Float64Array.from(analytic), numeric, 1e-6, what)
})

/** Whether the first and the second factor of a product are transposed: every way. */
export const transposes = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1]
] as const
