/**
 * A flat memory made of tensors. Tensors never change, so a memory is a list of segments that cover it: zeros, bytes on the host, or a part of a
 * tensor. A write takes its range out of the segments that were there; a read that is not just one segment is put together of several, and kept
 * as a view until something in its range is written.
 *
 * @since 0.1.0
 */
import type { Tensor, Tensor1D } from "@tensorflow/tfjs-core"
import type { Memory } from "../device.ts"

export type Tf = typeof import("@tensorflow/tfjs-core")

/** A tensor that segments lie in, and how many do. */
interface Block {
  readonly tensor: Tensor1D
  segments: number
}

/** `from`: the element of the tensor that the segment begins with. */
type Content =
  | { readonly kind: "zeros" }
  | { readonly kind: "host"; readonly bytes: Uint8Array }
  | { readonly kind: "tensor"; readonly block: Block; readonly from: number }

interface Segment {
  readonly start: number
  readonly end: number
  readonly content: Content
}

interface View {
  readonly start: number
  readonly end: number
  readonly variant: string
  readonly tensor: Tensor
}

/** Offsets and lengths are in bytes and multiples of 4. Tensors that it gives are its own: the caller must not dispose of them. */
export interface TensorMemory extends Memory {
  /** The reals of a range. */
  readonly reals: (offset: number, bytes: number) => Tensor1D
  /** The same, not kept: inside a tidy. */
  readonly passing: (offset: number, bytes: number) => Tensor1D
  /** Something made of the reals of a range, kept until they change. */
  readonly derived: (offset: number, bytes: number, variant: string, make: (reals: Tensor1D) => Tensor) => Tensor
  readonly isZero: (offset: number, bytes: number) => boolean
  /** The memory takes the tensor, which must be kept. */
  readonly set: (offset: number, tensor: Tensor1D) => void
  readonly setZero: (offset: number, bytes: number) => void
  readonly write: (offset: number, data: Uint8Array) => void
  readonly read: (offset: number, into: Uint8Array) => Promise<void>
  readonly isOnHost: (offset: number, bytes: number) => boolean
  readonly bringToHost: (offset: number, bytes: number) => Promise<void>
  /** The bytes of a range that is on the host; only to be read. */
  readonly host: (offset: number, bytes: number) => Uint8Array
  /** The same, to be changed at once. */
  readonly hostToChange: (offset: number, bytes: number) => Uint8Array
  readonly free: () => void
}

/** What is larger lies on the device only, once it is used there. */
const large = 1024 * 1024

const zeros: Content = { kind: "zeros" }

/** Zeros; `part` takes elements out of a tensor. */
export const make = (
  tf: Tf,
  part: (x: Tensor1D, from: number, count: number) => Tensor1D,
  bytes: number
): TensorMemory => {
  const segments: Array<Segment> = [{ start: 0, end: bytes, content: zeros }]
  let views: Array<View> = []

  /** The index of the segment that an offset lies in. */
  const at = (offset: number): number => {
    let [low, high] = [0, segments.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (segments[middle]!.end > offset) high = middle
      else low = middle + 1
    }
    return low
  }
  const over = (start: number, end: number): ReadonlyArray<Segment> => {
    const found: Array<Segment> = []
    for (let i = at(start); i < segments.length && segments[i]!.start < end; i++) found.push(segments[i]!)
    return found
  }
  /** The part of a segment that lies in a range. */
  const within = ({ content, end, start }: Segment, from: number, to: number): Segment => {
    const [first, last] = [Math.max(start, from), Math.min(end, to)]
    if (content.kind === "zeros") return { start: first, end: last, content }
    if (content.kind === "host") {
      return {
        start: first,
        end: last,
        content: { kind: "host", bytes: content.bytes.subarray(first - start, last - start) }
      }
    }
    return { start: first, end: last, content: { ...content, from: content.from + (first - start) / 4 } }
  }
  /** Puts a segment in the place of what its range held. */
  const put = (segment: Segment): void => {
    const { end, start } = segment
    const first = at(start)
    const old = over(start, end)
    const around = [
      ...(old[0]!.start < start ? [within(old[0]!, 0, start)] : []),
      segment,
      ...(old.at(-1)!.end > end ? [within(old.at(-1)!, end, bytes)] : [])
    ]
    for (const { content } of around) if (content.kind === "tensor") content.block.segments++
    segments.splice(first, old.length, ...around)
    for (const { content } of old) {
      if (content.kind === "tensor" && --content.block.segments === 0) content.block.tensor.dispose()
    }
  }
  const forget = (start: number, end: number): void => {
    const touched = (view: View) => view.start < end && start < view.end
    if (!views.some(touched)) return
    for (const view of views) if (touched(view)) view.tensor.dispose()
    views = views.filter((view) => !touched(view))
  }
  const change = (segment: Segment): void => {
    forget(segment.start, segment.end)
    put(segment)
  }

  /** What a segment holds: the tensor that it lies in, where it is all of it. */
  const tensorOf = ({ content, end, start }: Segment): Tensor1D => {
    const count = (end - start) / 4
    if (content.kind === "zeros") return tf.zeros([count])
    if (content.kind === "tensor") {
      const { tensor } = content.block
      return tensor.size === count ? tensor : part(tensor, content.from, count)
    }
    // A copy, as host bytes may change in their place.
    const { buffer, byteOffset } = content.bytes
    return tf.tensor1d(new Float32Array(buffer as ArrayBuffer, byteOffset, count).slice(), "float32")
  }
  const passing = (offset: number, length: number): Tensor1D => {
    const parts = over(offset, offset + length).map((segment) => within(segment, offset, offset + length))
    return parts.length === 1 ? tensorOf(parts[0]!) : tf.concat1d(parts.map(tensorOf))
  }
  const derived: TensorMemory["derived"] = (offset, length, variant, make) => {
    const found = views.find(
      (view) => view.start === offset && view.end === offset + length && view.variant === variant
    )
    if (found !== undefined) return found.tensor
    const tensor = tf.keep(tf.tidy(() => make(whole(offset, length) ?? passing(offset, length))))
    views.push({ start: offset, end: offset + length, variant, tensor })
    return tensor
  }
  /** The tensor that is just this range. */
  const whole = (offset: number, length: number): Tensor1D | undefined => {
    const { content, end, start } = segments[at(offset)]!
    if (content.kind !== "tensor" || start !== offset || end !== offset + length || content.from !== 0) return undefined
    return content.block.tensor.size === length / 4 ? content.block.tensor : undefined
  }
  const isOnHost = (offset: number, length: number) =>
    over(offset, offset + length).every(({ content }) => content.kind !== "tensor")
  const read = async (offset: number, into: Uint8Array): Promise<void> => {
    const end = offset + into.byteLength
    // All is taken before anything is waited for: a write that comes in between does not show.
    const taken = over(offset, end).map((segment) => {
      const piece = within(segment, offset, end)
      return piece.content.kind === "tensor" ? { ...piece, tensor: tf.tidy(() => tf.clone(tensorOf(piece))) } : piece
    })
    for (const piece of taken) {
      const target = into.subarray(piece.start - offset, piece.end - offset)
      if (piece.content.kind === "zeros") target.fill(0)
      else if (piece.content.kind === "host") target.set(piece.content.bytes)
      else if ("tensor" in piece) {
        const data = await piece.tensor.data()
        target.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
        piece.tensor.dispose()
      }
    }
  }
  /** One host segment of just this range; its content stays what it was. */
  const onHost = (offset: number, length: number): Uint8Array => {
    const merged = new Uint8Array(length)
    for (const segment of over(offset, offset + length)) {
      const { content, start } = within(segment, offset, offset + length)
      if (content.kind === "host") merged.set(content.bytes, start - offset)
    }
    put({ start: offset, end: offset + length, content: { kind: "host", bytes: merged } })
    return merged
  }
  const host = (offset: number, length: number): Uint8Array => {
    const segment = segments[at(offset)]!
    if (segment.content.kind !== "host" || segment.end < offset + length) return onHost(offset, length)
    return segment.content.bytes.subarray(offset - segment.start, offset - segment.start + length)
  }
  const set = (offset: number, tensor: Tensor1D): void =>
    change({
      start: offset,
      end: offset + 4 * tensor.size,
      content: { kind: "tensor", block: { tensor, segments: 0 }, from: 0 }
    })

  return {
    bytes,
    reals: (offset, length) => {
      const found = whole(offset, length)
      if (found !== undefined) return found
      const segment = segments[at(offset)]!
      if (
        segment.content.kind === "host" &&
        length > large &&
        segment.start === offset &&
        segment.end === offset + length
      ) {
        const tensor = tf.keep(tensorOf(segment))
        put({ ...segment, content: { kind: "tensor", block: { tensor, segments: 0 }, from: 0 } })
        return tensor
      }
      return derived(offset, length, "", (reals) => reals) as Tensor1D
    },
    passing,
    derived,
    isZero: (offset, length) => over(offset, offset + length).every(({ content }) => content.kind === "zeros"),
    set,
    setZero: (offset, length) => change({ start: offset, end: offset + length, content: zeros }),
    write: (offset, data) =>
      change({ start: offset, end: offset + data.byteLength, content: { kind: "host", bytes: data.slice() } }),
    read,
    isOnHost,
    bringToHost: async (offset, length) => {
      const data = new Uint8Array(length)
      await read(offset, data)
      put({ start: offset, end: offset + length, content: { kind: "host", bytes: data } })
    },
    host,
    hostToChange: (offset, length) => {
      forget(offset, offset + length)
      const segment = segments[at(offset)]!
      return segment.start === offset && segment.end === offset + length ? host(offset, length) : onHost(offset, length)
    },
    free: () => {
      forget(0, bytes)
      put({ start: 0, end: bytes, content: zeros })
    }
  }
}
