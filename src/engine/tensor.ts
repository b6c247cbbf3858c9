/**
 * A tensor of a graph: a shape and the memory it lies in. Tensors of the arena get their offset from the plan; all others
 * (weights, gradients, optimizer state, caches) have theirs from a layout.
 *
 * @since 0.1.0
 */

/** The memories a program can refer to. */
export type MemoryName =
  | "weights"
  | "gradients"
  | "firstMoment"
  | "secondMoment"
  | "average"
  | "control"
  | "cache"
  | "arena"

/** `offset` is in elements; null until planned (arena only). `persistent` tensors keep their place for the whole program. */
export interface Tensor {
  readonly memory: MemoryName
  readonly type: "real" | "i32"
  readonly shape: ReadonlyArray<number>
  readonly elements: number
  readonly offset: number | null
  readonly persistent: boolean
}

/** A tensor with a fixed place outside the arena. */
export const placed = (
  memory: Exclude<MemoryName, "arena">,
  offset: number,
  shape: ReadonlyArray<number>,
  type: "real" | "i32" = "real"
): Tensor => ({ memory, type, shape, elements: size(shape), offset, persistent: true })

/** The number of elements of a shape. */
export const size = (shape: ReadonlyArray<number>): number => shape.reduce((product, n) => product * n, 1)
