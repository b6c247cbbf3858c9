/**
 * An operator: a named, versioned, typed step of a pipeline.
 *
 * @since 0.1.0
 */
import { getCallSites } from "node:util"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Device } from "../device/device.ts"
import { type ColumnSources, checkColumns, type DeclaredColumns } from "./column-source.ts"
import type { Ports, PortValues } from "./port.ts"
import type { Resources } from "./resources.ts"
import type { Stage } from "./stage.ts"

export { type ColumnDeclarations, unchanged } from "./column-source.ts"

/** An operator refused its input or parameters. `place` names the stage's input, row or parameter. */
export class OperatorError extends Schema.TaggedError<OperatorError>()("OperatorError", {
  operator: Schema.String,
  place: Schema.String,
  message: Schema.String
}) {}

/** A file outside the store that an operator reads; `name` (relative, with `/`) is what of its path the operator may let out. */
export interface SourceFile {
  readonly path: string
  readonly name: string
}

/** A place in a file; line and column from 1. */
export interface Call {
  readonly file: string
  readonly line: number
  readonly column: number
}

/**
 * Where an operator was defined: the call of `make`, then those further up the stack (without them, what called it is no part of its code), and when (milliseconds since 1970): code
 * written to disk after that is not the code that was loaded.
 */
export interface Definition {
  readonly calls: ReadonlyArray<Call>
  /** Whether the function of a pipeline made it: what it holds of that function's parameters is in no key. */
  readonly inPipeline: boolean
  readonly time: number
}

/** What `run` is given. */
export interface OperatorInput<Params, Inputs extends Ports> {
  readonly inputs: PortValues<Inputs>
  readonly params: Params
  /** The files of `sources`, in its order. */
  readonly sources: ReadonlyArray<SourceFile>
}

/** A schema of parameters: decodes without services. */
export type ParamsSchema<Params = unknown> = Schema.Codec<Params, unknown>

/**
 * `E` is what `run` may fail with, `R` what it needs. `usesDevice` puts the device's numerics class into the stage key; `resources` is what it needs of it.
 * `sources` names the files that `run` reads: their names and digests enter the key. `seeds` are the parameters that only say which random numbers are drawn.
 * `columns` says, for lineage, which columns of input tables those of output tables come from.
 */
export interface Operator<in out Params, in out Inputs extends Ports, in out Outputs extends Ports, out E, out R> {
  readonly name: string
  readonly version: number
  readonly description: string
  readonly params: ParamsSchema<Params>
  readonly inputs: Inputs
  readonly outputs: Outputs
  readonly usesDevice: boolean
  readonly resources: Resources
  readonly seeds: ReadonlyArray<string>
  readonly columns: ColumnSources | undefined
  readonly sources: ((params: Params) => Effect.Effect<ReadonlyArray<SourceFile>, OperatorError>) | undefined
  readonly run: (input: OperatorInput<Params, Inputs>) => Effect.Effect<PortValues<Outputs>, E, R | Stage>
  readonly definition: Definition
}

let writing = 0

/** Calls the function of a pipeline. */
export const whileWriting = <A>(write: () => A): A => {
  writing++
  try {
    return write()
  } finally {
    writing--
  }
}

/** Any operator. */
// biome-ignore lint/suspicious/noExplicitAny: the only way to say "an operator of some types" for an invariant type
export type AnyOperator = Operator<any, any, any, unknown, unknown>

/**
 * Defines an operator. Its code (this module and what it imports inside the project) is part of every key of its stages, so `version`
 * (default 1) only needs to change when something outside the code does. `seeds` (default: the parameter `seed`, where there is one) are told apart
 * from the other parameters in the key, and where the key is explained. Throws a `TypeError` if `columns` names a column that the ports do not have.
 */
export const make = <
  Params,
  const Inputs extends Ports,
  const Outputs extends Ports,
  E = never,
  R = never,
  const UsesDevice extends boolean = false
>(
  name: string,
  options: {
    readonly version?: number
    readonly description: string
    readonly params: ParamsSchema<Params>
    readonly inputs: Inputs
    readonly outputs: Outputs
    readonly usesDevice?: UsesDevice
    readonly resources?: [UsesDevice] extends [true] ? Resources : never
    readonly seeds?: ReadonlyArray<Extract<keyof NoInfer<Params>, string>>
    readonly columns?: DeclaredColumns<NoInfer<Inputs>, NoInfer<Outputs>>
    readonly sources?: (params: Params) => Effect.Effect<ReadonlyArray<SourceFile>, OperatorError>
    readonly run: (input: OperatorInput<Params, Inputs>) => Effect.Effect<PortValues<Outputs>, E, R>
  },
  ..._check: [Device] extends [R] ? ([UsesDevice] extends [true] ? [] : [error: "usesDevice: true is missing"]) : []
): Operator<Params, Inputs, Outputs, E, Exclude<R, Stage>> => {
  const calls = getCallSites(16).slice(1)
  const columns = options.columns as ColumnSources | undefined
  if (columns !== undefined) checkColumns(name, columns, options.inputs, options.outputs)
  return {
    name,
    version: options.version ?? 1,
    description: options.description,
    params: options.params,
    inputs: options.inputs,
    outputs: options.outputs,
    usesDevice: options.usesDevice === true,
    resources: options.resources ?? {},
    seeds: options.seeds ?? ["seed"],
    columns,
    sources: options.sources,
    run: options.run as Operator<Params, Inputs, Outputs, E, Exclude<R, Stage>>["run"],
    definition: {
      calls: calls.map(({ columnNumber, lineNumber, scriptName }) => ({
        file: scriptName,
        line: lineNumber,
        column: columnNumber
      })),
      inPipeline: writing > 0,
      time: Date.now()
    }
  }
}
