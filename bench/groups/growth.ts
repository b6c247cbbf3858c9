/** How speed and memory grow as the small model's depth, width, context and batch double. */
import * as Effect from "effect/Effect"
import { Bench, type Case, type Group } from "../bench.ts"
import { openOurs, raceThose } from "../compare.ts"
import { freshModel, models, type Shape, shapeText, trainingFlops } from "../models.ts"
import type { Row } from "../result.ts"

const { small } = models

/** What doubles, and what it is doubled to. */
const axes = {
  depth: [4, 8, 16, 32].map((layers) => ({ ...small, layers })),
  width: [128, 256, 512, 1024].map((width) => ({ ...small, width })),
  context: [128, 256, 512, 1024, 2048].map((context) => ({ ...small, context, batch: 2 })),
  batch: [2, 4, 8, 16, 32].map((batch) => ({ ...small, batch }))
} as const satisfies Record<string, ReadonlyArray<Shape>>

export type Axis = keyof typeof axes

/** The value of an axis in a shape. */
export const sizeAlong = (axis: Axis, shape: Shape): number => shape[axis === "depth" ? "layers" : axis]

const rowOf = Effect.fnUntraced(function* (axis: Axis, shape: Shape) {
  const { repeats, threads } = yield* Bench
  const started = performance.now()
  const expected = freshModel(shape)
  const ours = yield* Effect.result(openOurs("f32", { work: "train", threads, dtype: "f32", ...shape }, expected))
  const [sample] = yield* raceThose([ours], Math.min(repeats, 3))
  const row: Row = {
    name: `growth/${axis}/${sizeAlong(axis, shape)}`,
    work: `training step f32, ${shapeText(shape)}`,
    quantity: "seconds",
    unit: "tokens/s",
    units: shape.batch * shape.context,
    flops: shape.batch * shape.context * trainingFlops(shape),
    ours: sample!,
    peer: null,
    others: {},
    target: null,
    seconds: (performance.now() - started) / 1000
  }
  return row
}, Effect.scoped)

export const growth: Group = {
  name: "growth",
  description: "a training step as depth, width, context and batch of the small model double",
  byDefault: false,
  cases: Object.entries(axes).map(
    ([axis, shapes]): Case => ({ name: axis, run: Effect.forEach(shapes, (shape) => rowOf(axis as Axis, shape)) })
  )
}
