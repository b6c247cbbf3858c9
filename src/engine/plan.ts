/**
 * The memory plan: places every arena tensor of a launch list once, so that tensors which are never alive together share bytes.
 *
 * A tensor lives from the first launch that names it to the last (persistent ones: always). Placement is greedy by size: largest
 * first, each at the lowest offset free of everything alive with it (Pisarchyk & Lee 2020, "greedy by size for offset calculation").
 *
 * @since 0.1.0
 */
import type { Program, Real } from "../device/device.ts"
import type { AnyLaunch } from "../device/kernel.ts"
import { operands, type TensorLaunch } from "./graph.ts"
import type { MemoryName, Tensor } from "./tensor.ts"

const alignment = 64

/** A planned launch list: programs over named memories, and where the arena's tensors lie (bytes). */
export interface Plan {
  readonly memories: ReadonlyArray<MemoryName>
  readonly arenaBytes: number
  readonly offset: (tensor: Tensor) => number
  /** How many elements of a placed memory the launches reach. */
  readonly extent: (memory: MemoryName) => number
  /** The launches from `start` up to `end` as a program over `memories`. */
  readonly program: (name: string, start?: number, end?: number) => Program
  /** What lies in the arena, the largest first: tensors of one shape that come first in the same operand of a kernel (`matmul.out`) are one entry. */
  readonly buffers: () => ReadonlyArray<PlannedBuffer>
}

/** `count` tensors of one shape, each of so many bytes. */
export interface PlannedBuffer {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly count: number
  readonly bytes: number
}

/** The size of one element in bytes. */
export const elementBytes = (type: Tensor["type"], real: Real): number => (type === "i32" || real === "f32" ? 4 : 8)

interface Life {
  readonly tensor: Tensor
  readonly bytes: number
  first: number
  last: number
  offset: number
}

/** Where the tensors of the arena lie, and how far each other memory is reached. */
const place = (launches: ReadonlyArray<TensorLaunch>, real: Real) => {
  const lives = new Map<Tensor, Life>()
  const memories = new Map<MemoryName, number>()
  launches.forEach((launch, index) => {
    for (const [, tensor] of operands(launch)) {
      memories.set(tensor.memory, Math.max(memories.get(tensor.memory) ?? 0, (tensor.offset ?? 0) + tensor.elements))
      if (tensor.memory !== "arena") continue
      const life = lives.get(tensor)
      if (life !== undefined) life.last = tensor.persistent ? launches.length : index
      else {
        const bytes = Math.ceil((tensor.elements * elementBytes(tensor.type, real)) / alignment) * alignment
        const [first, last] = tensor.persistent ? [0, launches.length] : [index, index]
        lives.set(tensor, { tensor, bytes, first, last, offset: -1 })
      }
    }
  })

  const placedLives: Array<Life> = []
  for (const life of [...lives.values()].sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    let offset = 0
    for (const other of placedLives) {
      const together = other.first <= life.last && life.first <= other.last
      if (together && offset + life.bytes > other.offset) offset = Math.max(offset, other.offset + other.bytes)
    }
    life.offset = offset
    const at = placedLives.findIndex((other) => other.offset > offset)
    placedLives.splice(at < 0 ? placedLives.length : at, 0, life)
  }

  const arenaBytes = placedLives.reduce((end, life) => Math.max(end, life.offset + life.bytes), 0)
  return { lives, memories, names: [...memories.keys()], arenaBytes }
}

/** Plans a launch list for a device with this `real`, when the plan is first asked for something. */
export const make = (launches: ReadonlyArray<TensorLaunch>, real: Real): Plan => {
  let found: ReturnType<typeof place> | undefined
  const placement = () => (found ??= place(launches, real))
  const offset = (tensor: Tensor): number =>
    tensor.memory === "arena" ? placement().lives.get(tensor)!.offset : tensor.offset! * elementBytes(tensor.type, real)
  const buffers = () => {
    const named = new Map<Tensor, string>()
    for (const launch of launches) {
      for (const [slot, tensor] of operands(launch)) {
        if (tensor.memory === "arena" && !named.has(tensor)) named.set(tensor, `${launch.kernel}.${slot}`)
      }
    }
    const grouped = new Map<string, PlannedBuffer>()
    for (const { bytes, tensor } of placement().lives.values()) {
      const name = named.get(tensor)!
      const id = `${name} ${tensor.shape.join()}`
      grouped.set(id, { name, shape: tensor.shape, count: (grouped.get(id)?.count ?? 0) + 1, bytes })
    }
    return [...grouped.values()].sort((a, b) => b.bytes * b.count - a.bytes * a.count)
  }
  return {
    buffers,
    get memories() {
      return placement().names
    },
    get arenaBytes() {
      return placement().arenaBytes
    },
    offset,
    extent: (memory) => placement().memories.get(memory) ?? 0,
    program: (name, start = 0, end = launches.length) => ({
      name,
      memories: placement().names.length,
      launches: launches.slice(start, end).map(
        (launch) =>
          ({
            ...launch,
            buffers: Object.fromEntries(
              operands(launch).map(([slot, tensor]) => [
                slot,
                { memory: placement().names.indexOf(tensor.memory), offset: offset(tensor) }
              ])
            )
          }) as unknown as AnyLaunch
      )
    })
  }
}
