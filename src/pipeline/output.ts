/**
 * An output of a stage, while a pipeline is being written: the handle that is passed on as an input.
 *
 * @since 0.1.0
 */
import type { Device, DeviceKind } from "../device/device.ts"
import type { Operator } from "../operator/operator.ts"
import type { Ports, PortValue } from "../operator/port.ts"
import type { Resources } from "../operator/resources.ts"
import type { Source } from "./graph.ts"

declare const Value: unique symbol
declare const Needs: unique symbol

/** A value of type `A` to come. `R` is what its stage and all stages before it need. An output of a subtype is accepted. */
export interface Output<out A, out R> extends Source {
  readonly [Value]?: () => A
  readonly [Needs]?: () => R
}

/** The value type of an output. */
export type OutputValue<O> = O extends Output<infer A, unknown> ? A : never

/** The services that one output, or several, need. */
export type OutputNeeds<O> = O extends Output<unknown, infer R> ? R : never

/** Outputs by name. */
export type Outputs = { readonly [name: string]: Output<unknown, unknown> }

/** What must be bound to the input ports of an operator. */
export type InputsOf<P extends Ports> = { readonly [K in keyof P]: Output<PortValue<P[K]>, unknown> }

/** What a stage gives: one output for each output port. */
export type OutputsOf<P extends Ports, R> = { readonly [K in keyof P]: Output<PortValue<P[K]>, R> }

/** Parameters as written in a pipeline: each may be left out where the schema has a default. */
export type ParamsInput<P> = P extends ReadonlyArray<unknown> | string | number | boolean | null | undefined
  ? P
  : { readonly [K in keyof P]?: ParamsInput<P[K]> }

/** The state that a loop carries: one output, or several by name. */
export type LoopState = Output<unknown, unknown> | Outputs

/** A loop's state as its body sees it: what the body needs is counted from what it returns. */
export type LoopInput<S extends LoopState> =
  S extends Output<infer A, unknown> ? Output<A, never> : { readonly [K in keyof S]: Output<OutputValue<S[K]>, never> }

/** What a loop's body must return to go round again. */
export type LoopOutput<S extends LoopState> =
  S extends Output<infer A, unknown>
    ? Output<A, unknown>
    : { readonly [K in keyof S]: Output<OutputValue<S[K]>, unknown> }

/** The services of a whole state. */
export type LoopNeeds<S> = S extends Output<unknown, infer R> ? R : OutputNeeds<S[keyof S]>

/** A loop's result: any of its outputs may hang on all that the loop needs. */
export type LoopResult<S extends LoopState, R> =
  S extends Output<infer A, unknown> ? Output<A, R> : { readonly [K in keyof S]: Output<OutputValue<S[K]>, R> }

/** The outputs of partitions, by the partition's name: of one output, or of several by name. */
export type Partitioned<O extends LoopState> =
  O extends Output<unknown, unknown>
    ? { readonly [partition: string]: O }
    : { readonly [K in keyof O]: { readonly [partition: string]: O[K] } }

/** What a stage may say of where it runs: nothing, if its operator needs no device. */
export interface Placement<R> {
  readonly device?: [Device] extends [R] ? DeviceKind | "auto" : never
  readonly resources?: [Device] extends [R] ? Resources : never
}

/** What writes a pipeline: `add` a stage, `iterate` a group of them, or build them for each `partition`. */
export interface Builder {
  /**
   * Adds a stage and returns its outputs. `name` defaults to the operator's and must be unique in the pipeline; `params` are decoded by
   * the operator's schema, and a key that it does not know is refused. `device` is the kind of device that the stage is to run on (default `auto`: the
   * one that the run is given), `resources` what it needs of it, each in place of the operator's own.
   */
  add<Params, Out extends Ports, E, R>(
    // biome-ignore lint/complexity/noBannedTypes: the exact type of no ports
    operator: Operator<Params, {}, Out, E, R>,
    options?: { readonly name?: string; readonly params?: ParamsInput<NoInfer<Params>> } & Placement<NoInfer<R>>
  ): OutputsOf<Out, R>
  add<Params, In extends Ports, Out extends Ports, E, R, const I extends InputsOf<In>>(
    operator: Operator<Params, In, Out, E, R>,
    options: {
      readonly name?: string
      readonly inputs: I & { readonly [K in Exclude<keyof I, keyof In>]: never }
      readonly params?: ParamsInput<NoInfer<Params>>
    } & Placement<NoInfer<R>>
  ): OutputsOf<Out, R | OutputNeeds<I[keyof I]>>

  /**
   * Builds `n` rounds of stages, each from the state that the round before returned. Names of stages added in round `i` (from 1) get
   * the suffix `.i`.
   */
  iterate<const S extends LoopState, const T extends LoopOutput<S>>(
    n: number,
    initial: S,
    step: (state: LoopInput<S>, i: number) => T
  ): LoopResult<S, LoopNeeds<S> | LoopNeeds<T>>

  /**
   * Builds the same stages once for each partition of a data set: a file, a month, a range of keys. A change in one partition reruns its stages and
   * no other's. Names of stages get the suffix `.<partition>`, in which other characters than letters, digits, `_`, `.` and `-` are `_`. What becomes of
   * the partitions goes together again in an operator with an input for each (`concat`).
   */
  partition<const O extends LoopState>(
    partitions: ReadonlyArray<string>,
    write: (partition: string) => O
  ): Partitioned<O>
}
