import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { close, random, run, sameBits, zeros } from "./launch.ts"

const beta1 = 0.9
const beta2 = 0.95

interface State {
  readonly weights: Float64Array
  readonly m: Float64Array
  readonly v: Float64Array
}
interface Options {
  readonly step: number
  readonly rate: number
  readonly decay: number
  readonly decayCount: number
  readonly form: number
  readonly epsilon: number
  readonly maxNorm: number
}

const reference = (state: State, gradients: Float64Array, norm: number, o: Options): State => {
  const next = { weights: state.weights.slice(), m: state.m.slice(), v: state.v.slice() }
  const clip = o.maxNorm > 0 ? Math.min(1, o.maxNorm / norm) : 1
  const [c1, c2] = [1 - beta1 ** o.step, 1 - beta2 ** o.step]
  gradients.forEach((gradient, i) => {
    const g = gradient * clip
    const m = beta1 * state.m[i]! + (1 - beta1) * g
    const v = beta2 * state.v[i]! + (1 - beta2) * g * g
    next.m[i] = m
    next.v[i] = v
    if (i < o.decayCount) next.weights[i]! *= 1 - o.rate * o.decay
    next.weights[i]! -=
      o.form === 0
        ? (o.rate * (m / c1)) / (Math.sqrt(v / c2) + o.epsilon)
        : (((o.rate * Math.sqrt(c2)) / c1) * m) / (Math.sqrt(v) + o.epsilon)
  })
  return next
}

const update = (state: State, gradients: Float64Array, norm: number, o: Options) =>
  run(
    "adamw",
    {
      ...state,
      gradients,
      norm: Float64Array.of(norm),
      control: Float64Array.of(o.rate, 1 - beta1 ** o.step, 1 - beta2 ** o.step, o.decay)
    },
    { count: gradients.length, decayCount: o.decayCount, form: o.form },
    { beta1, beta2, epsilon: o.epsilon, maxNorm: o.maxNorm }
  )

layer(cpu({ threads: 1, real: "f64" }))("adamw in f64", (it) => {
  it.effect("first step from g = 1, 1e-5, 1e-6 with learning rate 1 and epsilon 1e-5, both forms", () =>
    Effect.gen(function* () {
      const gradients = Float64Array.of(1, 1e-5, 1e-6)
      const state = { weights: zeros(3), m: zeros(3), v: zeros(3) }
      // beta2 is Adam's usual .999 here: the TensorFlow form depends on it.
      const first = (form: number) =>
        run(
          "adamw",
          {
            ...state,
            gradients,
            norm: Float64Array.of(1),
            control: Float64Array.of(1, 1 - 0.9, 1 - 0.999, 0)
          },
          { count: 3, decayCount: 0, form },
          { beta1: 0.9, beta2: 0.999, epsilon: 1e-5, maxNorm: 0 }
        ).pipe(Effect.map(({ weights }) => weights.map((w) => -w)))
      const pytorch = yield* first(0)
      assert.closeTo(pytorch[0]!, 1, 2e-5)
      assert.closeTo(pytorch[1]!, 0.5, 1e-9)
      assert.closeTo(pytorch[2]!, 1 / 11, 1e-9)
      const tensorflow = yield* first(1)
      const root = Math.sqrt(0.001)
      assert.closeTo(tensorflow[0]!, 1, 4e-4)
      assert.closeTo(tensorflow[1]!, root / (root + 1), 1e-9)
      assert.closeTo(tensorflow[1]!, 0.03065, 5e-6)
      assert.closeTo(tensorflow[2]!, root / (root + 10), 1e-9)
      assert.closeTo(tensorflow[2]!, 0.00315, 5e-6)
    })
  )

  it.effect("many steps, with decay of the first weights and clipping, follow the equations", () =>
    Effect.gen(function* () {
      for (const form of [0, 1]) {
        for (const [count, decayCount] of [
          [5, 0],
          [70, 37],
          [16_384, 16_384],
          [40_001, 20_000]
        ] as const) {
          let actual: State = { weights: random(1, count), m: zeros(count), v: zeros(count) }
          let expected = actual
          for (let step = 1; step <= 3; step++) {
            const gradients = random(step + 1, count)
            const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0))
            const o = {
              step,
              rate: 0.01,
              decay: 0.1,
              decayCount,
              form,
              epsilon: 1e-8,
              maxNorm: step === 2 ? 2 * norm : 1
            }
            const after = yield* update(actual, gradients, norm, o)
            expected = reference(expected, gradients, norm, o)
            for (const name of ["weights", "m", "v"] as const) {
              close(after[name], expected[name], 1e-12, `${name} of step ${step}, form ${form}, count ${count}`)
            }
            sameBits(after.gradients, zeros(count), "gradients")
            actual = { weights: after.weights, m: after.m, v: after.v }
          }
        }
      }
    })
  )
})

layer(cpu({ threads: 1, real: "f32" }))("adamw in f32", (it) => {
  it.effect("a step follows the equations, and gradientNorm is summed in double", () =>
    Effect.gen(function* () {
      for (const count of [1, 37, 100_003]) {
        const gradients = random(1, count)
        const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0))
        const measured = yield* run("gradientNorm", { gradients, norm: zeros(1) }, { count }, {})
        close(measured.norm, [norm], 6e-8, "norm")

        const state = { weights: random(2, count), m: random(3, count, 0.1), v: random(4, count).map((x) => x * x) }
        const o = { step: 7, rate: 3e-4, decay: 0.1, decayCount: count >> 1, form: 0, epsilon: 1e-8, maxNorm: 1 }
        const actual = yield* update(state, gradients, norm, o)
        const expected = reference(state, gradients, norm, o)
        for (const name of ["weights", "m", "v"] as const) close(actual[name], expected[name], 5e-7, name)
      }
    })
  )
})
