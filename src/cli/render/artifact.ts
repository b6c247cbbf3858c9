/**
 * An artifact in a few words, and as lines.
 *
 * @since 0.1.0
 */
import type { Artifact } from "../../operator/artifact.ts"
import { bytes, decimal } from "./quantity.ts"
import type { View } from "./view.ts"
import { cut, pad, printable, width } from "./width.ts"

/** Digits of a digest that are shown: enough to name it by. */
export const shortDigest = (digest: string): string => digest.slice(0, 12)

/** What its metadata says of its size: `813k parameters`, `2048 rows`; empty where it says nothing. */
export const sizeOf = ({ meta }: Artifact): string => {
  for (const [name, unit] of [
    ["parameters", "parameters"],
    ["rows", "rows"],
    ["vocabularySize", "tokens"]
  ] as const) {
    const value = meta[name]
    if (typeof value === "number") return `${decimal(value)} ${unit}`
  }
  return ""
}

/** Its name, kind and digest, what else is known of it, then its metadata and its blobs. */
export const artifactLines = (
  { artifact, port, stage }: { readonly artifact: Artifact; readonly stage: string; readonly port: string },
  { columns, style }: View,
  known: ReadonlyArray<readonly [string, string]> = []
): ReadonlyArray<string> => {
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["digest", artifact.digest],
    ...known,
    ...(artifact.kind === "report" ? [] : Object.entries(artifact.meta)).map(
      ([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const
    ),
    ...Object.entries(artifact.parts).map(
      ([name, blob]) => [name, `${bytes(blob.bytes)}  ${style.faint(blob.digest)}`] as const
    )
  ]
  const names = Math.max(...rows.map(([name]) => width(name)))
  return [
    cut(`${style.strong(`${stage}.${port}`)}  ${artifact.kind}  ${style.faint(sizeOf(artifact))}`, columns).trimEnd(),
    ...rows.map(([name, value]) => cut(`  ${style.faint(pad(printable(name), names))}  ${value}`, columns))
  ]
}
