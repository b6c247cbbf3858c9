/**
 * What large arrays hold, told without looking at all of it: so that what is on a device already is not written there again.
 *
 * @since 0.1.0
 */

/** The content of an array that is not changed any more. Its digest is known once it was written to a store, or read from one. */
export interface Content {
  digest: string | undefined
  readonly sample: number
}

const contents = new WeakMap<ArrayLike<number>, Content>()

/** Elements that are looked at: an array that was changed all over is told by them. */
const looks = 4096

const sampleOf = (values: Float32Array): number => {
  const stride = Math.max(1, Math.floor(values.length / looks))
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length)
  let mixed = values.length | 0
  for (let at = 0; at < bits.length; at += stride) mixed = (Math.imul(mixed, 31) + bits[at]!) | 0
  return mixed
}

/** The content of an array that a session gave, or that has a name; undefined for all others. */
export const contentOf = (values: Float32Array): Content | undefined => {
  const known = contents.get(values)
  return known?.sample === sampleOf(values) ? known : undefined
}

/** Says that an array has this content, or a new one. It must not be changed from now on. */
export const hasContent = (values: Float32Array, content?: Content): Content => {
  const known = content ?? { digest: undefined, sample: sampleOf(values) }
  contents.set(values, known)
  return known
}

/** Names the content of an array by its digest, in whatever form that is. */
export const nameContent = (values: Float32Array, digest: string): void => {
  const content = contentOf(values) ?? hasContent(values)
  content.digest ??= digest
}

/** Whether two contents are known to be the same. */
export const isSame = (a: Content | undefined, b: Content | undefined): boolean =>
  a !== undefined && b !== undefined && (a === b || (a.digest !== undefined && a.digest === b.digest))
