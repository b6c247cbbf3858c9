/**
 * `run` and `plan` as they are typed day by day, taken apart without the parser of all commands: that takes longer to load than a run does in
 * which nothing changed.
 *
 * What is not plainly right here goes to the parser, which knows every flag and tells every error; a test holds the two together.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import type { Setting } from "../pipeline/graph.ts"
import type { RunInput } from "./run.ts"

/** A command that was understood. */
export interface Quick {
  readonly command: "run" | "plan"
  readonly input: RunInput & { readonly as?: Option.Option<never> }
}

/** The command that the arguments are, or undefined if the parser has to look at them. */
export const quick = ([command, ...rest]: ReadonlyArray<string>): Quick | undefined => {
  if (command !== "run" && command !== "plan") return undefined
  let pipeline: string | undefined
  let store: string | undefined
  let json = false
  const set: Array<Setting> = []
  const words = rest[Symbol.iterator]()
  /** The next word, if it can only be a value. */
  const value = (): string | undefined => {
    const { value } = words.next()
    return value === undefined || value === "" || value.startsWith("-") ? undefined : value
  }
  for (const word of words) {
    if (word === "--set" || word === "-s") {
      const text = value()
      const at = text?.indexOf("=") ?? -1
      if (text === undefined || at < 1) return undefined
      set.push({ path: text.slice(0, at), value: text.slice(at + 1) })
    } else if (word === "--store") {
      if (store !== undefined) return undefined
      store = value()
      if (store === undefined) return undefined
    } else if (word === "--json") {
      if (json) return undefined
      json = true
    } else if (word === "" || word.startsWith("-") || pipeline !== undefined) return undefined
    else pipeline = word
  }
  if (pipeline === undefined) return undefined
  const elsewhere = { remote: Option.none(), remotePolicy: "normal" } as const
  const device = { device: "auto", threads: Option.none() } as const
  const input = { pipeline, set, store: store ?? ".ptmflow", json, ...device, ...elsewhere }
  return { command, input: command === "plan" ? { ...input, as: Option.none() } : input }
}
