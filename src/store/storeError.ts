/**
 * What can go wrong with a store.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** A store could not be opened, read or written. `place` is the file or blob; `message` says what is wrong and what to do. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  reason: Schema.Literals([
    "full",
    "read-only",
    "permission",
    "lost",
    "corrupt",
    "newer-format",
    "not-a-store",
    "foreign",
    "taken-over",
    "io"
  ]),
  place: Schema.String,
  message: Schema.String
}) {}

const causes: { readonly [code: string]: readonly [StoreError["reason"], string] } = {
  ENOSPC: ["full", "the disk is full: free some space and run again, nothing was lost"],
  EFBIG: [
    "full",
    "the file would be larger than the limit on files (ulimit -f): raise it and run again, nothing was lost"
  ],
  EDQUOT: ["full", "the disk quota is used up: free some space and run again, nothing was lost"],
  EROFS: ["read-only", "the file system is read-only: choose another folder for the store"],
  EACCES: ["permission", "permission denied: make it readable and writable, or choose another folder for the store"],
  EPERM: ["permission", "not permitted: make it readable and writable, or choose another folder for the store"],
  ENOENT: ["lost", "the file is not there"]
}

/** The error of a file operation, in words, naming the file. */
export const fromCause = (place: string, cause: unknown): StoreError => {
  if (cause instanceof StoreError) return cause
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  const [reason, words] = causes[code] ?? ["io", cause instanceof Error ? cause.message : String(cause)]
  return new StoreError({ reason, place, message: `${place}: ${words}` })
}

/** The error of a write that took only some of the bytes. */
export const cutShort = (place: string, written: number, of: number): StoreError =>
  new StoreError({
    reason: "full",
    place,
    message: `${place}: only ${written} of ${of} bytes could be written, as the disk is full or a limit on the size of files (ulimit -f) is reached: free some space, or raise the limit, and run again, nothing was lost`
  })
