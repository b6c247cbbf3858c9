/**
 * Bindings as they are recorded: which key each stage of a run had. A run that changes a few of ten thousand stages records those few, and the binding
 * that it differs from so.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { digestOf } from "../operator/digest.ts"
import type { Journal, NewEntry } from "../store/journal.ts"
import { Binding } from "./record.ts"

/**
 * A binding as the difference from another, its `base`: the stages in `without` are not in it, and those in `keys` have another key. The stages of
 * both are in the same order. `depth` bindings have to be read for it beside this one.
 */
const Difference = Schema.Struct({
  base: Schema.String,
  depth: Schema.Int,
  without: Schema.Array(Schema.String),
  keys: Binding
})
type Difference = typeof Difference.Type
const decodeDifference = Schema.decodeUnknownOption(Difference)

/** Bindings that are read for one, at most. */
const MOST_DEPTH = 16

/** Of how many stages the keys are recorded, where all would be more than this many times as many. */
const WORTH = 4

/** Whether JSON is a binding: what its schema says, without a copy, as it may have thousands of stages. */
const isBinding = (value: unknown): value is Binding =>
  Array.isArray(value) &&
  value.every(
    (each) => typeof (each as Binding[number])?.stage === "string" && typeof (each as Binding[number]).key === "string"
  )

const recorded = (journal: Journal, digest: string): Binding | Difference | undefined => {
  const value = journal.newest("binding", digest)?.value()
  return isBinding(value) ? value : Option.getOrUndefined(decodeDifference(value))
}

const isDifference = (value: Binding | Difference): value is Difference => "base" in value

/** The keys of a run's stages; none where the binding, or one that it differs from, was lost. */
export const bindingOf = (journal: Journal, digest: string): Binding => {
  const without = new Set<string>()
  const keys = new Map<string, string>()
  let found = recorded(journal, digest)
  // A stage that a binding is without is in none that differs from it.
  for (; found !== undefined && isDifference(found); found = recorded(journal, found.base)) {
    for (const stage of found.without) without.add(stage)
    for (const { key, stage } of found.keys) if (!keys.has(stage)) keys.set(stage, key)
  }
  if (found === undefined || keys.size + without.size === 0) return found ?? []
  const bound: Array<Binding[number]> = []
  for (const each of found) {
    const key = keys.get(each.stage)
    if (!without.has(each.stage)) bound.push(key === undefined ? each : { stage: each.stage, key })
  }
  return bound
}

/** The difference of a binding from another, if it is one and worth it. */
const differenceFrom = (journal: Journal, base: string, binding: Binding): Difference | undefined => {
  const found = recorded(journal, base)
  if (found === undefined) return undefined
  const depth = 1 + (isDifference(found) ? found.depth : 0)
  if (depth > MOST_DEPTH) return undefined
  const before = bindingOf(journal, base)
  const keys: Array<Binding[number]> = []
  const without: Array<string> = []
  let at = 0
  for (const { key, stage } of before) {
    const now = binding[at]
    if (now?.stage !== stage) without.push(stage)
    else {
      if (now.key !== key) keys.push(now)
      at++
    }
  }
  const size = without.length + keys.length
  return at === binding.length && size * WORTH < binding.length ? { base, depth, without, keys } : undefined
}

/** The digest of a binding, and what is to be recorded for it; `base` is the digest of one that it may differ little from. */
export const bindingEntries = (
  journal: Journal,
  binding: Binding,
  base: () => string | undefined
): { readonly digest: string; readonly entries: ReadonlyArray<NewEntry> } => {
  const whole = binding as ReadonlyArray<{ stage: string; key: string }>
  const digest = digestOf("binding/1", whole)
  if (journal.newest("binding", digest) !== undefined) return { digest, entries: [] }
  const near = base()
  const difference = near === undefined ? undefined : differenceFrom(journal, near, binding)
  return { digest, entries: [{ kind: "binding", key: digest, value: difference ?? whole }] }
}
