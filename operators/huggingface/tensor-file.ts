/**
 * A safetensors file on disk, read a piece at a time: a model larger than memory's half can be imported.
 *
 * @since 0.1.0
 */
import { type FileHandle, open as openFile } from "node:fs/promises"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Safetensors from "../../src/engine/safetensors.ts"
import { HuggingFaceError } from "./config.ts"

/** One file's tensors. `rows` calls `each` with stretches of whole rows as f32, from row 0 on. */
export interface TensorFile {
  readonly entries: ReadonlyMap<string, Safetensors.Entry>
  readonly rows: (
    name: string,
    each: (values: Float32Array, row: number) => void
  ) => Effect.Effect<void, HuggingFaceError>
}

/** So many bytes are read at a time, if a row is not longer. */
const PIECE = 4 * 1024 * 1024

/**
 * Opens a file until the scope ends. `name` is what errors call it.
 * ptmflow-allow file: a source of the stage, or a blob of an artifact
 */
export const open = Effect.fnUntraced(function* (
  path: string,
  name: string
): Effect.fn.Return<TensorFile, HuggingFaceError, Scope.Scope> {
  const fail = (place: string, cause: unknown) =>
    cause instanceof Safetensors.SafetensorsError
      ? new HuggingFaceError({ place: `${name}: ${cause.place}`, message: cause.message })
      : new HuggingFaceError({ place: place === "" ? name : `${name}: ${place}`, message: String(cause) })
  const attempt = <A>(place: string, promise: () => Promise<A>) =>
    Effect.tryPromise({ try: promise, catch: (cause) => fail(place, cause) })
  const file = yield* Effect.acquireRelease(
    attempt("", () => openFile(path, "r")),
    (handle) => Effect.promise(() => handle.close())
  )
  const { size } = yield* attempt("", () => file.stat())
  const read = (at: number, bytes: number) => readExactly(file, at, bytes)
  const header = yield* attempt("header", async () => {
    const length = Safetensors.headerLength(await read(0, Math.min(8, size)), size)
    return Safetensors.decodeHeader(await read(8, length), size)
  })
  return {
    entries: header.entries,
    rows: Effect.fnUntraced(function* (tensor, each) {
      const { dtype, from, shape } = header.entries.get(tensor)!
      const width = Safetensors.bytesOf[dtype]
      const columns = shape.slice(1).reduce((product, n) => product * n, 1)
      const rows = shape[0] ?? 1
      const atOnce = Math.max(1, Math.floor(PIECE / (columns * width)))
      for (let row = 0; row < rows; row += atOnce) {
        const count = Math.min(atOnce, rows - row) * columns
        const bytes = yield* attempt(tensor, () => read(from + row * columns * width, count * width))
        each(Safetensors.toSingle(bytes, dtype), row)
      }
    })
  }
})

const readExactly = async (file: FileHandle, at: number, bytes: number): Promise<Uint8Array> => {
  const buffer = new Uint8Array(bytes)
  let done = 0
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done)
    if (bytesRead === 0) throw new Error(`the file ends at byte ${at + done}: it was cut off`)
    done += bytesRead
  }
  return buffer
}
