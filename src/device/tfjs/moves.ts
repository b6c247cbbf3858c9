/**
 * Moving elements: parts of tensors, chosen rows, transposed matrices. WASM's own kernels for these copy a whole tensor to take a part of it, and
 * move element by element; there, these are kernels of our own that work on its heap.
 *
 * @since 0.1.0
 */
import type { NamedTensorMap, Tensor1D, Tensor2D, TensorInfo } from "@tensorflow/tfjs-core"
import type { Tf } from "./memory.ts"

export interface Moves {
  /** `count` elements from one on. */
  readonly part: (x: Tensor1D, from: number, count: number) => Tensor1D
  /** `height` rows and `width` columns of a matrix, from one element on. */
  readonly window: (x: Tensor2D, row: number, column: number, height: number, width: number) => Tensor2D
  /** Rows of a table, in any order. */
  readonly rows: (table: Tensor2D, rows: Int32Array) => Tensor2D
  readonly transpose: (x: Tensor2D) => Tensor2D
}

/** By what every backend has. */
export const plain = (tf: Tf): Moves => ({
  part: (x, from, count) => tf.slice1d(x, from, count),
  window: (x, row, column, height, width) => tf.slice2d(x, [row, column], [height, width]),
  // A copy, as what is uploaded later must be what it is now.
  rows: (table, rows) => tf.gather(table, tf.tensor1d(rows.slice(), "int32")) as Tensor2D,
  transpose: (x) => tf.transpose(x)
})

/** The parts of WASM's backend that are used. */
interface Heap {
  readonly makeOutput: (shape: ReadonlyArray<number>, type: "float32") => TensorInfo
  readonly typedArrayFromHeap: (tensor: TensorInfo) => Float32Array
}

type Fill = (out: Float32Array, x: Float32Array, attributes: Attributes) => void
interface Attributes {
  readonly [name: string]: unknown
}

/** Sides of the squares that are transposed at once, so that both matrices' lines stay in the cache. */
const square = 32

const fills: { readonly [name: string]: Fill } = {
  ptmflowWindow: (out, x, { column, height, row, stride, width }) => {
    const [first, lines, step, size] = [
      Number(row) * Number(stride) + Number(column),
      Number(height),
      Number(stride),
      Number(width)
    ]
    for (let line = 0; line < lines; line++) {
      out.set(x.subarray(first + line * step, first + line * step + size), line * size)
    }
  },
  ptmflowRows: (out, x, { rows, width }) => {
    const size = Number(width)
    for (const [line, row] of (rows as Int32Array).entries())
      out.set(x.subarray(row * size, (row + 1) * size), line * size)
  },
  ptmflowTranspose: (out, x, { height, width }) => {
    const [rows, columns] = [Number(height), Number(width)]
    for (let top = 0; top < rows; top += square) {
      const bottom = Math.min(top + square, rows)
      for (let left = 0; left < columns; left += square) {
        const right = Math.min(left + square, columns)
        for (let j = left; j < right; j++) {
          for (let i = top; i < bottom; i++) out[j * rows + i] = x[i * columns + j]!
        }
      }
    }
  }
}

/** By kernels on WASM's heap, which are registered with TensorFlow.js. */
export const onHeap = (tf: Tf): Moves => {
  for (const [kernelName, fill] of Object.entries(fills)) {
    if (tf.getKernel(kernelName, "wasm") !== undefined) continue
    tf.registerKernel({
      kernelName,
      backendName: "wasm",
      kernelFunc: ({ attrs, backend, inputs }) => {
        const heap = backend as Heap
        const attributes = attrs as unknown as Attributes
        // The heap may move when it makes room.
        const out = heap.makeOutput(attributes["shape"] as ReadonlyArray<number>, "float32")
        fill(heap.typedArrayFromHeap(out), heap.typedArrayFromHeap(inputs["x"]!), attributes)
        return out
      }
    })
  }
  const run = <T>(kernel: string, x: TensorInfo, attributes: Attributes): T =>
    tf.engine().runKernel(kernel, { x } as unknown as NamedTensorMap, attributes as never) as T
  return {
    part: (x, from, count) =>
      run("ptmflowWindow", x, { shape: [count], row: 0, column: from, height: 1, width: count, stride: count }),
    window: (x, row, column, height, width) =>
      run("ptmflowWindow", x, { shape: [height, width], row, column, height, width, stride: x.shape[1] }),
    rows: (table, rows) =>
      run("ptmflowRows", table, { shape: [rows.length, table.shape[1]], rows, width: table.shape[1] }),
    transpose: (x) =>
      run("ptmflowTranspose", x, { shape: [x.shape[1], x.shape[0]], height: x.shape[0], width: x.shape[1] })
  }
}
