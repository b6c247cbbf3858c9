/**
 * What is known of a graph's stages before any of them runs: code, source files and numerics.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { AnyOperator, SourceFile } from "../operator/operator.ts"
import type { Graph, StageNode } from "../pipeline/graph.ts"
import type { Store } from "../store/store.ts"
import type { StoreError } from "../store/storeError.ts"
import { type Code, codeOf } from "./code.ts"
import { devicesOf, type NamedDevice, placing } from "./devices.ts"
import type { Recipe } from "./key.ts"
import type { Read } from "./undeclared.ts"

/** A key could not be found out: sources or code could not be read. `place` is the stage or the file, `cause` the tag of the error. */
export class PlanError extends Schema.TaggedError<PlanError>()("PlanError", {
  place: Schema.String,
  cause: Schema.String,
  message: Schema.String
}) {}

/** A stage with all of its key but the inputs. `files` are its source files, `devices` those that it may compute on, best first. */
export interface PreparedStage {
  readonly node: StageNode
  readonly recipe: Recipe
  readonly files: ReadonlyArray<SourceFile>
  readonly devices: ReadonlyArray<NamedDevice>
}

/** The stages of a graph, prepared. */
export interface Prepared {
  readonly stages: ReadonlyArray<PreparedStage>
  readonly code: Code
}

/** Reads code and source files (by their time stamps, where they are known) and asks the devices for their numerics classes. */
export const prepare = Effect.fnUntraced(function* (
  graph: Graph<unknown>,
  store: Store["Service"]
): Effect.fn.Return<Prepared, PlanError> {
  const operators = [...new Set(graph.stages.map(({ operator }) => operator))]
  const code = yield* Effect.mapError(
    codeOf(operators, store),
    ({ _tag, message, place }) => new PlanError({ place, cause: _tag, message })
  )
  const reads = operators.flatMap((operator) => undeclaredReads(operator, code))
  if (reads.length > 0) {
    const places = [...new Set(reads.map(readInWords))]
    return yield* new PlanError({
      place: places[0]!.split(" ")[0]!,
      cause: "UndeclaredRead",
      message: `results cannot be reused safely, as operators read what their stage keys do not hold:\n${places.join("\n")}\nTake it in as a parameter, an input or a source file; or, where it is in no result, say so: // ptmflow-allow ${reads[0]!.kind}: why`
    })
  }
  const placeOf = placing(yield* devicesOf)
  const stages: Array<PreparedStage> = []
  for (const node of graph.stages) {
    const { operator } = node
    const files = operator.sources === undefined ? [] : yield* sourceFiles(node)
    const sources = yield* Effect.forEach(files, (file) => digestOf(node, file, store))
    const refused = (error: { readonly _tag: string; readonly message: string }) => planError(node.name, error)
    const place = operator.usesDevice ? yield* Effect.mapError(placeOf(node), refused) : undefined
    const numerics =
      place === undefined ? null : graph.numerics === "any" ? "any" : yield* Effect.mapError(place.numerics, refused)
    const { code: codeDigest, packages } = code.of(operator)
    const recipe = { code: codeDigest, packages, sources, numerics }
    stages.push({ node, recipe, files, devices: place?.devices ?? [] })
  }
  return { stages, code }
})

/** What an operator reads that its keys do not hold. One that declares source files may read files. */
export const undeclaredReads = (operator: AnyOperator, code: Code): ReadonlyArray<Read> =>
  code.of(operator).reads.filter(({ kind }) => kind !== "file" || operator.sources === undefined)

/** `operators/sft.ts:12:5: reads the environment (process.env)`. */
export const readInWords = ({ column, file, kind, line, what }: Read): string => {
  const words = {
    file: "reads or writes files",
    environment: "reads the environment",
    time: "reads the clock",
    chance: "draws random numbers without a seed",
    network: "uses the network",
    machine: "asks what machine this is",
    process: "uses other processes or threads",
    code: "runs code that is not known before"
  }
  return `${file}:${line}:${column}: ${words[kind]} (${what})`
}

const planError = (stage: string, { _tag, message }: { readonly _tag: string; readonly message: string }) =>
  new PlanError({
    place: stage,
    cause: _tag,
    message: `${_tag === "ResourceError" ? "" : `stage ${stage}: `}${message}`
  })

const sourceFiles = (node: StageNode): Effect.Effect<ReadonlyArray<SourceFile>, PlanError> =>
  Effect.mapError(node.operator.sources!(node.params), (error) => planError(node.name, error))

const digestOf = (node: StageNode, file: SourceFile, store: Store["Service"]) =>
  store.files.digest(file.path).pipe(
    Effect.map(({ digest }) => ({ name: file.name, digest })),
    Effect.mapError((error) => planError(node.name, error))
  )

/** The source files that are not what they were when the stage was prepared. */
export const changedSources = (
  stage: PreparedStage,
  store: Store["Service"]
): Effect.Effect<ReadonlyArray<string>, StoreError> =>
  Effect.map(
    Effect.filter([...stage.files.entries()], ([index, file]) =>
      store.files.digest(file.path).pipe(
        Effect.map(({ digest }) => digest !== stage.recipe.sources[index]!.digest),
        Effect.catch((error) => (error.reason === "lost" ? Effect.succeed(true) : Effect.fail(error)))
      )
    ),
    (changed) => changed.map(([, { name }]) => name)
  )
