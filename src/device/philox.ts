/**
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): random words as a function of a key and a
 * counter. The devices' samplers compute the same function.
 *
 * @since 0.1.0
 */

/** The high 32 bits of a 32 x 32 bit product, by 16-bit halves of the constant factor. */
const high = (a: number, constantHigh: number, constantLow: number): number => {
  const low = a & 0xffff
  const top = a >>> 16
  const middle = top * constantLow + ((low * constantLow) >>> 16)
  const other = low * constantHigh + (middle % 0x10000)
  return (top * constantHigh + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000)) >>> 0
}

/** Four random u32 words, a function of a key (2 x u32) and a counter (4 x u32). */
export const philox = (
  key: readonly [number, number],
  counter: readonly [number, number, number, number]
): [number, number, number, number] => {
  let [k0, k1] = key
  let [c0, c1, c2, c3] = counter
  for (let round = 0; round < 10; round++) {
    const h0 = high(c0, 0xd251, 0x1f53)
    const l0 = Math.imul(c0, 0xd2511f53)
    const h1 = high(c2, 0xcd9e, 0x8d57)
    const l1 = Math.imul(c2, 0xcd9e8d57)
    c0 = h1 ^ c1 ^ k0
    c1 = l1
    c2 = h0 ^ c3 ^ k1
    c3 = l0
    k0 = (k0 + 0x9e3779b9) | 0
    k1 = (k1 + 0xbb67ae85) | 0
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0]
}

/** A word as a uniform number in [0, 1): its upper 24 bits, so that it is exact in f32. */
export const uniform = (word: number): number => (word >>> 8) * 2 ** -24

/**
 * Fills `into` from index `from` (a multiple of 4) up to `to` with normal numbers of mean 0 and the given standard deviation (Box & Muller
 * 1958). Element i is a function of the key and i alone: it comes from counter (floor(i / 4), 0, 0, 0).
 */
export const normal = (
  key: readonly [number, number],
  into: Float32Array | Float64Array,
  deviation: number,
  from = 0,
  to = into.length
): void => {
  for (let start = from; start < to; start += 4) {
    const words = philox(key, [start >>> 2, 0, 0, 0])
    for (let pair = 0; pair < 4; pair += 2) {
      const radius = deviation * Math.sqrt(-2 * Math.log(1 - uniform(words[pair]!)))
      const angle = 2 * Math.PI * uniform(words[pair + 1]!)
      into[start + pair] = radius * Math.cos(angle)
      if (start + pair + 1 < into.length) into[start + pair + 1] = radius * Math.sin(angle)
    }
  }
}
