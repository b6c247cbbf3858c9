/**
 * What a pipeline is once its parameters are known: stages in an order in which each comes after what it needs.
 *
 * @since 0.1.0
 */
import type { Json } from "effect/Schema"
import type { DeviceKind } from "../device/device.ts"
import type { AnyOperator } from "../operator/operator.ts"
import type { Resources } from "../operator/resources.ts"

/** One output port of one stage, by name. */
export interface Source {
  readonly stage: string
  readonly port: string
}

/**
 * One use of an operator: `params` as its `run` gets them, every default filled in; `paramsJson` the same as its schema writes them, from which they
 * can be read back; `paramsTree` and `seedsTree` the same as they enter the stage key, seeds apart. `partition` is what of the name says for which partition it is, where it is for one. `device` is the kind that the stage is to run on (absent: the run's), `resources` what it needs of it.
 */
export interface StageNode {
  readonly name: string
  readonly operator: AnyOperator
  readonly params: unknown
  readonly paramsJson: Json
  readonly paramsTree: Json
  readonly seedsTree: { readonly [name: string]: Json }
  readonly inputs: { readonly [port: string]: Source }
  readonly partition?: string
  readonly device?: DeviceKind
  readonly resources: Resources
}

/**
 * Whether results of stages that use the device are reused only where the device gives the same bits (`same`), or those of any device that a
 * pipeline which accepts any had (`any`).
 */
export type Numerics = "same" | "any"

declare const Needs: unique symbol

/** The stages that the outputs need, each after its inputs. `R` is the services that running them needs. */
export interface Graph<out R> {
  readonly pipeline: string
  readonly description: string
  readonly params: Json
  readonly settings: ReadonlyArray<Setting>
  readonly numerics: Numerics
  readonly stages: ReadonlyArray<StageNode>
  readonly outputs: { readonly [name: string]: Source }
  readonly [Needs]?: () => R
}

/** One pipeline parameter set from outside: `path` is dotted (`ppo.learningRate`), `value` as typed on a command line. */
export interface Setting {
  readonly path: string
  readonly value: string
}
