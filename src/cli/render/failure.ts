/**
 * What went wrong as lines: the cause, the place, and what to do.
 *
 * @since 0.1.0
 */
import type { View } from "./view.ts"
import { printable, wrap } from "./width.ts"

/** What a person is told. `place` and `next` may be empty. */
export interface Failure {
  readonly message: string
  readonly place: string
  readonly next: string
}

/** `error: message`, then `at place` where the message does not name it, then what to do. */
export const failureLines = ({ message, next, place }: Failure, { columns, style }: View): ReadonlyArray<string> => {
  const head = "error: "
  const indent = " ".repeat(head.length)
  const room = Math.max(columns - head.length, 20)
  const [first = "", ...rest] = wrap(printable(message), room)
  return [
    `${style.bad(head)}${first}`,
    ...rest.map((line) => `${indent}${line}`),
    ...(message.includes(place)
      ? []
      : wrap(printable(`at ${place}`), room).map((line) => style.faint(`${indent}${line}`))),
    ...(next === "" ? [] : wrap(printable(next), room).map((line) => `${indent}${line}`))
  ]
}

const frame = /^ {4}at .*(?::\d+:\d+|<anonymous>)\)?$/
const placeOf = /^ {4}at (?:async )?(?:.*? \()?(?:file:\/\/)?(.+?:\d+:\d+)\)?$/

/** Of Node, of a package, or of what finds modules for Node. */
const isForeign = (place: string): boolean => /node:|\/node_modules\/|\/bin\/resolve\.mjs:/.test(place)

/**
 * A stack as the message above it and the first place in code of the user's own: not of Node, nor of a package. Paths below `folder` are
 * shown from there.
 */
export const withoutStack = (text: string, folder: string): { readonly message: string; readonly place: string } => {
  const lines = text.split("\n")
  const start = lines.findIndex((line) => frame.test(line))
  const shorten = (path: string) => path.replaceAll("file://", "").replaceAll(`${folder}/`, "")
  if (start < 0) return { message: shorten(text), place: "" }
  const places = lines.slice(start).flatMap((line) => placeOf.exec(line)?.[1] ?? [])
  const own = places.find((place) => !isForeign(place))
  return { message: shorten(lines.slice(0, start).join("\n")).trimEnd(), place: shorten(own ?? "") }
}
