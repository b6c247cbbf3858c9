/**
 * Which resume points of a stage stay when it is done.
 *
 * @since 0.1.0
 */
import type { Artifact } from "../operator/artifact.ts"

/** A resume point that stays when its stage is done. */
export interface KeptPoint {
  readonly step: number
  readonly artifact: Artifact
}

/** Whether a resume point after `step` updates belongs among those that are kept, which are evenly spread, near enough. */
export const isWorthKeeping = (points: ReadonlyArray<KeptPoint>, step: number): boolean => {
  const last = points.at(-1)
  if (last === undefined) return true
  const spacing = points.length === 1 ? last.step : points[1]!.step - points[0]!.step
  return step - last.step >= 0.75 * spacing
}

/** With one more point; where there are then more than `most`, every other goes. */
export const withPoint = (
  points: ReadonlyArray<KeptPoint>,
  most: number,
  point: KeptPoint
): ReadonlyArray<KeptPoint> => {
  const all = [...points, point]
  return all.length > most ? all.filter((_, i) => i % 2 === 1) : all
}
