/**
 * Writes stages down as a pipeline's function adds them, and keeps those that its outputs need.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type DeviceKind, deviceKinds } from "../device/device.ts"
import type { AnyOperator } from "../operator/operator.ts"
import type { Resources } from "../operator/resources.ts"
import { OpaqueValue } from "../operator/value-tree.ts"
import type { Source, StageNode } from "./graph.ts"
import type { Builder } from "./output.ts"
import { PipelineError } from "./pipelineError.ts"
import { decodeStrictly, paramsTrees } from "./settings.ts"

interface Written {
  readonly stages: ReadonlyArray<StageNode>
  readonly outputs: { readonly [name: string]: Source }
}

/** Runs a pipeline's function. An output is known only after its stage was added, so the order of adding is an order of running. */
export const buildGraph = (
  pipeline: string,
  write: (builder: Builder) => { readonly [name: string]: Source }
): Written => {
  const stages = new Map<string, StageNode>()
  let suffix = ""
  /** The part of the suffix that partitions gave. */
  let within = ""

  const refuse = (place: string, message: string): never => {
    throw new PipelineError({ pipeline, place, message })
  }

  const checkSource = (place: string, source: Source | undefined): Source => {
    const stage = source === undefined ? undefined : stages.get(source.stage)
    if (source === undefined || stage === undefined || !Object.hasOwn(stage.operator.outputs, source.port)) {
      return refuse(place, "is not an output of a stage of this pipeline")
    }
    return { stage: source.stage, port: source.port }
  }

  const add = (
    operator: AnyOperator,
    options: {
      readonly name?: string
      readonly inputs?: { readonly [port: string]: Source }
      readonly params?: unknown
      readonly device?: DeviceKind | "auto"
      readonly resources?: Resources
    } = {}
  ) => {
    const name = (options.name ?? operator.name) + suffix
    const bad = /[^A-Za-z0-9_.-]/.exec(name)
    if (name === "" || bad !== null) refuse(name, "a stage's name has letters, digits, _ . and - only")
    if (stages.has(name)) {
      refuse(
        name,
        `two stages are named ${name}: give one of them another name, as in p.add(${operator.name}, { name: "..." })`
      )
    }
    const params = decode(operator, options.params ?? {}, (message) =>
      refuse(name, `parameters of ${operator.name}: ${message}`)
    )
    const given = options.inputs ?? {}
    for (const port of Object.keys(given)) {
      if (!Object.hasOwn(operator.inputs, port)) refuse(`${name}.${port}`, `${operator.name} has no such input`)
    }
    const inputs = Object.fromEntries(
      Object.keys(operator.inputs).map((port) => [port, checkSource(`${name}.${port}`, given[port])])
    )
    const partition = within === "" ? {} : { partition: within }
    const made = trees(operator, params, refuse.bind(undefined, name))
    const placed = placement(operator, options, refuse.bind(undefined, name))
    stages.set(name, { name, operator, params, ...made, inputs, ...partition, ...placed })
    return Object.fromEntries(Object.keys(operator.outputs).map((port) => [port, { stage: name, port }]))
  }

  const iterate = <S>(n: number, initial: S, step: (state: S, i: number) => S): S => {
    const outer = suffix
    if (!Number.isInteger(n) || n < 0) refuse("iterate", `the number of rounds is a whole number from 0, not ${n}`)
    let state = initial
    try {
      for (let i = 1; i <= n; i++) {
        suffix = `${outer}.${i}`
        state = step(state, i)
      }
    } finally {
      suffix = outer
    }
    return state
  }

  const partition = (partitions: ReadonlyArray<string>, step: (partition: string) => unknown): object => {
    const [outer, outerWithin] = [suffix, within]
    const made: Array<readonly [string, unknown]> = []
    const suffixes = new Map<string, string>()
    try {
      for (const name of partitions) {
        const own = `.${name.replaceAll(/[^A-Za-z0-9_.-]+/g, "_")}`
        if (own === ".") refuse("partition", "a partition's name is empty")
        if (suffixes.has(own)) refuse(`partition ${name}`, `its stages would be named as those of ${suffixes.get(own)}`)
        suffixes.set(own, name)
        suffix = outer + own
        within = outerWithin + own
        made.push([name, step(name)])
      }
    } finally {
      suffix = outer
      within = outerWithin
    }
    if (made.length === 0) refuse("partition", "there are no partitions: name at least one")
    const isOutput = (value: unknown) => typeof (value as Source).stage === "string"
    if (made.every(([, value]) => isOutput(value))) return Object.fromEntries(made)
    const outputs = Object.keys(made[0]![1] as object)
    return Object.fromEntries(
      outputs.map((output) => [
        output,
        Object.fromEntries(
          made.map(([name, value]) => [name, (value as { readonly [output: string]: unknown })[output]])
        )
      ])
    )
  }

  const written = write({ add, iterate, partition } as unknown as Builder)
  // A type-checked pipeline gives them, but not all are.
  if (typeof written !== "object" || written === null) {
    refuse("the pipeline's function", "returns no outputs: end it with return { name: stage.port }")
  }
  const outputs = Object.fromEntries(
    Object.entries(written).map(([name, source]) => [name, checkSource(`output ${name}`, source)])
  )
  return { stages: needed(stages, outputs), outputs }
}

const decode = (operator: AnyOperator, params: unknown, refuse: (message: string) => never): unknown => {
  const exit = Effect.runSyncExit(decodeStrictly(operator.params, params))
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  return refuse(error instanceof Error ? error.message : String(error))
}

/** Where a stage is to run. The types refuse most of what is refused here, but not all pipelines are type-checked. */
const placement = (
  operator: AnyOperator,
  { device, resources }: { readonly device?: DeviceKind | "auto"; readonly resources?: Resources },
  refuse: (message: string) => never
): Pick<StageNode, "device" | "resources"> => {
  if (!operator.usesDevice && (device !== undefined || resources !== undefined)) {
    return refuse(`${operator.name} uses no device: leave out ${device === undefined ? "resources" : "device"}`)
  }
  const needs = { ...operator.resources, ...resources }
  const { gpu, memory } = needs
  if (memory !== undefined && !(memory > 0)) refuse(`resources.memory is a number of bytes, not ${memory}`)
  if (gpu !== undefined && gpu !== 1) refuse(`resources.gpu is 1 or left out, not ${gpu}: a stage runs on one device`)
  if (device === undefined || device === "auto") return { resources: needs }
  if (deviceKinds.includes(device)) return { device, resources: needs }
  return refuse(`there is no device ${device}: there are auto, ${deviceKinds.join(", ")}`)
}

const trees = (operator: AnyOperator, params: unknown, refuse: (message: string) => never) => {
  try {
    return paramsTrees(operator.params, params, operator.seeds)
  } catch (error) {
    if (error instanceof OpaqueValue) return refuse(`parameters of ${operator.name}: ${error.message}`)
    throw error
  }
}

const needed = (stages: ReadonlyMap<string, StageNode>, outputs: Written["outputs"]): ReadonlyArray<StageNode> => {
  const wanted = new Set(Object.values(outputs).map((source) => source.stage))
  const all = [...stages.values()]
  for (const stage of all.toReversed()) {
    if (wanted.has(stage.name)) for (const source of Object.values(stage.inputs)) wanted.add(source.stage)
  }
  return all.filter((stage) => wanted.has(stage.name))
}
