/**
 * A graph: kernel launches over tensors, in order, and the tape from which the backward pass is derived.
 *
 * Each operation (operations.ts) emits its launches and records, beside them, how its gradient is made; `backward` plays the tape in
 * reverse. Nothing is computed here: the plan places the tensors, and a device runs the list.
 *
 * @since 0.1.0
 */
import { type KernelName, kernels, type Launch, type Precision as Precisions } from "../device/kernel.ts"
import { placed, size, type Tensor } from "./tensor.ts"

type Operands<Refs> = { readonly [N in keyof Refs]: Tensor | Extract<Refs[N], undefined> }

/**
 * How matrix products, those within attention too, are computed: "bf16" rounds both factors to bfloat16 and sums in f32. Weights, gradients, optimizer
 * state, layernorm, softmax and loss are f32 always.
 */
export type Precision = keyof typeof Precisions

/** A launch whose operands are tensors. */
export interface TensorLaunch<K extends KernelName = KernelName> {
  readonly kernel: K
  readonly buffers: Operands<Launch<K>["buffers"]>
  readonly integers: Launch<K>["integers"]
  readonly reals: Launch<K>["reals"]
}

/** A graph under construction. */
export interface Graph {
  readonly launches: ReadonlyArray<TensorLaunch>
  /** A new tensor of the arena. */
  readonly tensor: (shape: ReadonlyArray<number>) => Tensor
  /** A tensor the host writes or reads: it keeps its place from the first launch to the last. */
  readonly port: (shape: ReadonlyArray<number>, type?: "real" | "i32") => Tensor
  readonly emit: <K extends KernelName>(
    kernel: K,
    buffers: TensorLaunch<K>["buffers"],
    integers: TensorLaunch<K>["integers"],
    reals: TensorLaunch<K>["reals"]
  ) => void
  /** Records how an operation's gradient is made. Run in reverse order by `backward`. */
  readonly record: (step: () => void) => void
  /**
   * The gradient of a tensor, if something has contributed to it: for a weight, its place in the gradient memory, and nothing for one that is not
   * trained.
   */
  readonly gradient: (tensor: Tensor) => Tensor | undefined
  /** Says how to make a tensor a second time in the backward pass, so that it need not be kept until then. Where nothing is recomputed: nothing. */
  readonly remakable: (tensor: Tensor, remake: () => Tensor) => void
  /** The tensor, or the same made again. */
  readonly again: (tensor: Tensor) => Tensor
  readonly recompute: boolean
  /** Of the matrix products and their gradients. */
  readonly precision: Precision
  /** Whether only a training step uses what the forward pass computes (see `matmul` of the kernel table). */
  readonly training: boolean
  /** Adds a contribution to a tensor's gradient; the first one becomes it. */
  readonly contribute: (tensor: Tensor, contribution: Tensor) => void
  readonly backward: () => void
}

/**
 * An empty graph. `trainable` (default: all): weights from this element on are not trained. `recompute` (default false): operations keep less for the backward pass and make it again there (Chen et al. 2016), with
 * the same bits. `training` (default false): only a training step uses what the forward pass computes, so that a sequence's numbers may depend on the others by rounding.
 */
export const make = ({
  precision = "f32",
  recompute = false,
  trainable = Number.POSITIVE_INFINITY,
  training = false
}: {
  readonly precision?: Precision
  readonly recompute?: boolean
  readonly trainable?: number
  readonly training?: boolean
} = {}): Graph => {
  const launches: Array<TensorLaunch> = []
  const tape: Array<() => void> = []
  const gradients = new Map<Tensor, Tensor>()
  const remakes = new Map<Tensor, () => Tensor>()
  const arena = (shape: ReadonlyArray<number>, type: "real" | "i32", persistent: boolean): Tensor => ({
    memory: "arena",
    type,
    shape,
    elements: size(shape),
    offset: null,
    persistent
  })
  const graph: Graph = {
    launches,
    tensor: (shape) => arena(shape, "real", false),
    port: (shape, type = "real") => arena(shape, type, true),
    emit: (kernel, buffers, integers, reals) => {
      launches.push({ kernel, buffers, integers, reals } as unknown as TensorLaunch)
    },
    record: (step) => {
      tape.push(step)
    },
    gradient: (tensor) => {
      if (tensor.memory !== "weights") return gradients.get(tensor)
      return tensor.offset! < trainable ? placed("gradients", tensor.offset!, tensor.shape) : undefined
    },
    recompute,
    precision,
    training,
    remakable: (tensor, remake) => {
      let made: Tensor | undefined
      if (recompute) remakes.set(tensor, () => (made ??= remake()))
    },
    again: (tensor) => remakes.get(tensor)?.() ?? tensor,
    contribute: (tensor, contribution) => {
      const sum = gradients.get(tensor)
      if (sum === undefined) gradients.set(tensor, contribution)
      else if (sum !== contribution) {
        graph.emit("add", { a: sum, b: contribution, out: sum }, { count: sum.elements }, {})
      }
    },
    backward: () => {
      for (const step of tape.splice(0).reverse()) step()
    }
  }
  return graph
}

/** The operands of a launch, in the order of the kernel table, without the absent ones. */
export const operands = (launch: TensorLaunch): ReadonlyArray<readonly [name: string, tensor: Tensor]> =>
  kernels[launch.kernel].buffers.flatMap((slot) => {
    const name = slot.replace("?", "")
    const tensor = (launch.buffers as { readonly [name: string]: Tensor | undefined })[name]
    return tensor === undefined ? [] : [[name, tensor] as const]
  })
