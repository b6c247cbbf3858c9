/**
 * The outputs of a run that are not reports: what they are called by, and what to do with a checkpoint.
 *
 * @since 0.1.0
 */
import type { Artifact } from "../../operator/artifact.ts"
import { shortDigest, sizeOf } from "./artifact.ts"
import type { View } from "./view.ts"
import { cut, pad, width } from "./width.ts"

/** One line for each output, and the commands that a person may want next; `program` is how ptmflow is called. */
export const outputLines = (
  outputs: { readonly [name: string]: Artifact },
  program: string,
  { columns, style }: View
): ReadonlyArray<string> => {
  const shown = Object.entries(outputs).filter(([, { kind }]) => kind !== "report")
  if (shown.length === 0) return []
  const names = Math.max(...shown.map(([name]) => width(name)))
  const kinds = Math.max(...shown.map(([, { kind }]) => width(kind)))
  const checkpoint = shown.find(([, { kind }]) => kind === "checkpoint")?.[0]
  return [
    "",
    ...shown.map(([name, artifact]) =>
      cut(
        `  ${style.strong(pad(name, names))}  ${pad(artifact.kind, kinds)}  ${style.name(shortDigest(artifact.digest))}  ${style.faint(sizeOf(artifact))}`,
        columns
      ).trimEnd()
    ),
    ...(checkpoint === undefined
      ? []
      : [
          "",
          `  ${style.faint(`${program} generate ${checkpoint} --prompt "..."`)}`,
          `  ${style.faint(`${program} lineage ${checkpoint}`)}`
        ])
  ]
}
