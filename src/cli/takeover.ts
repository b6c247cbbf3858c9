/**
 * A standard stream taken over: what any code writes to it goes elsewhere until it is given back.
 *
 * @since 0.1.0
 */

/** The stream as it was, and how to give it back. */
export interface Takeover {
  readonly write: (text: string) => void
  readonly release: () => void
}

/** Sends what is written to `stream` to `elsewhere`. */
export const takeOver = (stream: NodeJS.WriteStream, elsewhere: (text: string) => void): Takeover => {
  const original = stream.write
  stream.write = ((chunk: string | Uint8Array, encoding?: unknown, callback?: unknown) => {
    elsewhere(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"))
    const done = typeof encoding === "function" ? encoding : callback
    if (typeof done === "function") queueMicrotask(() => done())
    return true
  }) as typeof stream.write
  return {
    write: (text) => {
      original.call(stream, text)
    },
    release: () => {
      stream.write = original
    }
  }
}
