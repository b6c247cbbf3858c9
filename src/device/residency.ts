/**
 * What stays on a device between uses: the least recently used goes when the rest needs room.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { DeviceShape } from "./device.ts"

/** Something on a device that nobody uses now: how much memory it has, and what frees it. */
export interface Kept {
  readonly bytes: number
  readonly free: Effect.Effect<void>
}

/**
 * `take`: what suits, for one who uses it alone until it is kept again; `keep`: keeps it if there is room, or frees it; `evict`: frees what was unused for
 * longest, false where there is nothing.
 */
export const Residency = Context.Reference<{
  readonly take: <A extends Kept>(device: DeviceShape, suits: (kept: Kept) => kept is A) => A | undefined
  readonly keep: (device: DeviceShape, kept: Kept) => Effect.Effect<void>
  readonly evict: (device: DeviceShape) => Effect.Effect<boolean>
}>("ptmflow/device/Residency", {
  defaultValue: () => ({ take: () => undefined, keep: (_, { free }) => free, evict: () => Effect.succeed(false) })
})

/**
 * Bytes that may lie unused: all of a GPU, as what is there is freed when the memory is wanted; a quarter of a memory that others use too, or 1 GB where it
 * is not known.
 */
const idleBytes = ({ kind, memory }: DeviceShape): number =>
  kind === "cuda" ? Number.POSITIVE_INFINITY : memory === undefined ? 1e9 : memory / 4

const make = (most: (device: DeviceShape) => number) => {
  const kept = new Map<DeviceShape, Set<Kept>>()
  const on = (device: DeviceShape): Set<Kept> => {
    const found = kept.get(device) ?? new Set<Kept>()
    kept.set(device, found)
    return found
  }
  const evict = (device: DeviceShape): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const [oldest] = on(device)
      if (oldest === undefined) return Effect.succeed(false)
      on(device).delete(oldest)
      return Effect.as(oldest.free, true)
    })
  const empty = Effect.fnUntraced(function* (device: DeviceShape) {
    while (yield* evict(device)) {}
  })
  const residency = Residency.of({
    take: <A extends Kept>(device: DeviceShape, suits: (kept: Kept) => kept is A): A | undefined => {
      const found = [...on(device)].findLast(suits)
      if (found !== undefined) on(device).delete(found)
      return found as A | undefined
    },
    keep: Effect.fnUntraced(function* (device, one) {
      on(device).add(one)
      const total = () => [...on(device)].reduce((sum, { bytes }) => sum + bytes, 0)
      while (total() > most(device)) yield* evict(device)
    }),
    evict
  })
  return { residency, close: Effect.suspend(() => Effect.forEach(kept.keys(), empty, { discard: true })) }
}

/** Keeps on devices what the effect leaves there, `most` bytes of it (default: `idleBytes`), and frees it when the effect ends. */
export const withResidency = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  most: (device: DeviceShape) => number = idleBytes
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => make(most)),
    ({ residency }) => Effect.provideService(effect, Residency, residency),
    ({ close }) => close
  )
