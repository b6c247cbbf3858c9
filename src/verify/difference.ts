/**
 * The first place in which two artifacts that should be the same are not.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Safetensors from "../engine/safetensors.ts"
import { differenceAt, type FirstDifference } from "../lineage/verified.ts"
import type { Artifact, ArtifactError, BlobSource } from "../operator/artifact.ts"
import { tableDifference } from "./table-difference.ts"

/** An artifact, and where its blobs are. */
export interface Located {
  readonly artifact: Artifact
  readonly source: BlobSource
}

/** The first path at which two JSON values differ. */
const jsonDifference = (
  part: string,
  a: unknown,
  b: unknown,
  path = "",
  place = path === "" ? "the whole" : path
): FirstDifference | undefined => {
  const isTree = (value: unknown): value is { readonly [key: string]: unknown } =>
    typeof value === "object" && value !== null
  if (isTree(a) && isTree(b) && Array.isArray(a) === Array.isArray(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const found = jsonDifference(part, a[key], b[key], path === "" ? key : `${path}.${key}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  return Object.is(a, b) ? undefined : differenceAt(part, place, a, b)
}

const tensorDifference = (part: string, a: Uint8Array, b: Uint8Array): FirstDifference | undefined => {
  const [old, now] = [Safetensors.decode(a), Safetensors.decode(b)]
  let first: { readonly place: string; readonly recorded: number; readonly found: number } | undefined
  let differing = 0
  let largest = 0
  let of = 0
  for (const [name, { shape, values }] of old) {
    const other = now.get(name)
    if (other === undefined || other.shape.join() !== shape.join()) {
      return differenceAt(part, `tensor ${name}`, `[${shape.join(", ")}]`, other && `[${other.shape.join(", ")}]`)
    }
    of += values.length
    for (let i = 0; i < values.length; i++) {
      const [recorded, found] = [values[i]!, other.values[i]!]
      if (Object.is(recorded, found)) continue
      first ??= { place: `tensor ${name}, value [${indices(i, shape).join(", ")}]`, recorded, found }
      differing++
      const by = Math.abs(recorded - found)
      if (by > largest || Number.isNaN(by)) largest = by
    }
  }
  const added = [...now.keys()].find((name) => !old.has(name))
  if (first === undefined) return added === undefined ? undefined : differenceAt(part, "tensors", undefined, added)
  return differenceAt(part, first.place, first.recorded, first.found, { differing, of, largest })
}

const indices = (at: number, shape: ReadonlyArray<number>): ReadonlyArray<number> => {
  const found: Array<number> = []
  let rest = at
  for (const size of shape.toReversed()) {
    found.unshift(rest % size)
    rest = Math.floor(rest / size)
  }
  return found
}

const byteDifference = (part: string, a: Uint8Array, b: Uint8Array): FirstDifference => {
  let at = 0
  while (at < a.length && at < b.length && a[at] === b[at]) at++
  return differenceAt(part, `byte ${at}`, a[at], b[at])
}

const textOf = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))

const partDifference = (part: string, a: Uint8Array, b: Uint8Array): FirstDifference => {
  try {
    if (part.endsWith(".safetensors")) return tensorDifference(part, a, b) ?? byteDifference(part, a, b)
    if (part === "json" || part.endsWith(".json")) {
      return jsonDifference(part, textOf(a), textOf(b)) ?? byteDifference(part, a, b)
    }
  } catch {
    // What is not what its name says is bytes.
  }
  return byteDifference(part, a, b)
}

/** The first difference, by the parts of the recorded artifact in their order; undefined where no blob differs. */
export const firstDifference = Effect.fnUntraced(function* (
  recorded: Located,
  found: Located
): Effect.fn.Return<FirstDifference | undefined, ArtifactError> {
  const [old, now] = [recorded.artifact, found.artifact]
  if (old.kind !== now.kind) return differenceAt("", "kind", old.kind, now.kind)
  for (const [part, blob] of Object.entries(old.parts)) {
    const other = now.parts[part]
    if (other?.digest === blob.digest) continue
    if (other === undefined) return differenceAt(part, "part", blob.digest.slice(0, 12), undefined)
    if (part.endsWith(".arrow")) {
      const [a, b] = [yield* recorded.source.path(blob), yield* found.source.path(other)]
      const difference = yield* tableDifference(part, a, b)
      if (difference !== undefined) return difference
      continue
    }
    return partDifference(part, yield* recorded.source.bytes(blob), yield* found.source.bytes(other))
  }
  const added = Object.keys(now.parts).find((part) => !Object.hasOwn(old.parts, part))
  return added === undefined ? jsonDifference("", old.meta, now.meta) : differenceAt(added, "part", undefined, added)
})
