/**
 * The spike guard: finds losses and gradient norms that lie far outside what the last updates had.
 *
 * @since 0.1.0
 */

/** Values that a new one is compared with, as in llm.c. */
export const WINDOW = 128

/** The last values in order, oldest first, and what they are compared by. */
export interface Detector {
  /** z of a value among the last 128, itself included; undefined while there were fewer before it. The value is remembered. */
  readonly z: (value: number) => number | undefined
  readonly values: () => ReadonlyArray<number>
}

/** A detector that has seen `seen` (the last 128 count). A value that is not finite has z = infinity and is not remembered. */
export const makeDetector = (seen: ReadonlyArray<number> = []): Detector => {
  let values = seen.slice(-WINDOW)
  return {
    z: (value) => {
      if (!Number.isFinite(value)) return Number.POSITIVE_INFINITY
      const full = values.length === WINDOW
      values = [...values.slice(full ? 1 : 0), value]
      if (!full) return undefined
      const mean = values.reduce((sum, x) => sum + x, 0) / WINDOW
      const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / WINDOW)
      return deviation === 0 ? 0 : (value - mean) / deviation
    },
    values: () => values
  }
}

/** A guard with limits on the z of the loss and of the gradient norm; 0: no limit. */
export interface Guard {
  /** Whether the update is to be left out. */
  readonly isSpike: (loss: number, gradientNorm: number) => boolean
  /** The guard's memory by name, for a checkpoint's state. */
  readonly state: () => Readonly<Record<string, number>>
}

const named = (name: string, values: ReadonlyArray<number>) =>
  Object.fromEntries(values.map((value, i) => [`${name}.${i}`, value]))

const remembered = (name: string, state: Readonly<Record<string, number>>) =>
  Array.from({ length: WINDOW }, (_, i) => state[`${name}.${i}`]).filter((value) => value !== undefined)

/** A guard that goes on from a checkpoint's state. */
export const makeGuard = (
  limits: { readonly loss: number; readonly norm: number },
  state: Readonly<Record<string, number>> = {}
): Guard => {
  const loss = makeDetector(remembered("guardLoss", state))
  const norm = makeDetector(remembered("guardNorm", state))
  const beyond = (z: number | undefined, limit: number) => limit > 0 && z !== undefined && z > limit
  return {
    isSpike: (lossValue, normValue) => {
      const [ofLoss, ofNorm] = [loss.z(lossValue), norm.z(normValue)]
      return beyond(ofLoss, limits.loss) || beyond(ofNorm, limits.norm)
    },
    state: () => ({ ...named("guardLoss", loss.values()), ...named("guardNorm", norm.values()) })
  }
}
