/**
 * Standard output: what it can show, and lines and JSON written to it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Diagram, DiagramFormat } from "./render/diagram.ts"
import { styleOf, type View } from "./render/view.ts"

/** Whether lines on standard output can be rewritten. */
export const canRewrite = (): boolean => process.stdout.isTTY === true && process.env["TERM"] !== "dumb"

/** `NO_COLOR` and a dumb terminal have none; else a terminal has, and all have with `FORCE_COLOR`. */
const hasColour = (stream: NodeJS.WriteStream): boolean => {
  const { FORCE_COLOR = "", NO_COLOR = "", TERM } = process.env
  if (NO_COLOR !== "" || TERM === "dumb") return false
  return FORCE_COLOR === "" ? stream.isTTY === true : FORCE_COLOR !== "0" && FORCE_COLOR !== "false"
}

/** Columns and colours of a stream; where it is no terminal, `COLUMNS` or 120 columns. */
export const viewOf = (stream: NodeJS.WriteStream): View => ({
  columns: Math.max(stream.columns ?? (Number(process.env["COLUMNS"]) || 120), 20),
  style: styleOf(hasColour(stream))
})

/** Writes to a stream, and waits until it is out: a process that ends before leaves the reader of a pipe with a part of it. */
const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    stream.write(text, () => resume(Effect.void))
  })

/** Waits until what was written to standard output is out. */
export const flushed: Effect.Effect<void> = Effect.suspend(() => write(process.stdout, ""))

/** Writes lines to standard output. */
export const printLines = (lines: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.suspend(() => (lines.length > 0 ? write(process.stdout, `${lines.join("\n")}\n`) : Effect.void))

/** Writes lines to standard error. */
export const printErrors = (lines: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.suspend(() => write(process.stderr, `${lines.join("\n")}\n`))

/** Writes one JSON value on one line to standard output. */
export const printJson = (value: unknown): Effect.Effect<void> => printLines([JSON.stringify(value)])

/** Writes a diagram to standard output, and to standard error what may keep it from being drawn. */
export const printDiagram = Effect.fnUntraced(function* (format: DiagramFormat, diagram: Diagram) {
  const { diagramLines, diagramWarning } = yield* Effect.promise(() => import("./render/diagram.ts"))
  const lines = diagramLines(format, diagram)
  yield* printLines(lines)
  const warning = diagramWarning(format, diagram, lines)
  if (warning !== undefined) yield* printErrors([warning])
})
