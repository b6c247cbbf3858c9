/**
 * Where a run stands: its events so far, folded.
 *
 * @since 0.1.0
 */
import type { Event } from "../../executor/event.ts"
import type { Reason } from "../../lineage/reason.ts"
import type { Graph, StageNode } from "../../pipeline/graph.ts"
import { type Block, outline, roundOf } from "./outline.ts"

type Metrics = { readonly [name: string]: number }

/** What the plan said of a stage; `seconds` is what it took last time. */
export interface Planned {
  readonly action: "reuse" | "run" | "maybe"
  readonly reasons: ReadonlyArray<Reason>
  readonly seconds: number | undefined
}

/** A stage that runs. Times are in milliseconds. `from` is the first step that it reported as done, and when. */
export interface Running {
  readonly started: number
  readonly step: number | undefined
  readonly steps: number | undefined
  readonly from: { readonly step: number; readonly time: number } | undefined
  readonly metrics: Metrics
  /** The process that holds the stage, where another one does. */
  readonly waiting: { readonly pid: number; readonly host: string } | undefined
}

/** What became of a stage. */
export interface Done {
  readonly status: "reused" | "finished" | "failed" | "skipped"
  /** Whether a reused result came from a remote. */
  readonly remote: boolean
  readonly seconds: number
  readonly metrics: Metrics
}

/** The state. `folded` changes it in place: a run may have ten thousand stages. */
export interface Progress {
  readonly pipeline: string
  readonly description: string
  /** What stages compute on; empty where none does. */
  readonly device: string
  readonly blocks: ReadonlyArray<Block>
  readonly blockOf: ReadonlyMap<string, Block>
  readonly total: number
  /** The first event's time, in milliseconds. */
  readonly started: number
  readonly planned: Map<string, Planned>
  readonly running: Map<string, Running>
  readonly done: Map<string, Done>
}

/** Of a graph what is needed to show what becomes of it. */
export interface ShownGraph extends Pick<Graph<unknown>, "pipeline" | "description"> {
  readonly stages: ReadonlyArray<
    Pick<StageNode, "name" | "inputs" | "partition"> & { readonly operator: Pick<StageNode["operator"], "name"> }
  >
}

/** The state before the first event. */
export const initial = (graph: ShownGraph, device: string, now: number): Progress => {
  // Made when it is first asked for: a log needs none, and of ten thousand stages it takes a while.
  let blocks: ReadonlyArray<Block> | undefined
  let blockOf: ReadonlyMap<string, Block> | undefined
  const outlined = (): ReadonlyArray<Block> => {
    blocks ??= outline(
      graph.stages.map(({ inputs, name, operator, partition }) => ({
        name,
        partition,
        operator: operator.name,
        from: Object.values(inputs).map(({ stage }) => stage)
      }))
    )
    return blocks
  }
  return {
    pipeline: graph.pipeline,
    description: graph.description,
    device,
    get blocks() {
      return outlined()
    },
    get blockOf() {
      blockOf ??= new Map(
        outlined().flatMap((block) =>
          block.rows.flatMap(({ stages }) => stages.map((stage) => [stage, block] as const))
        )
      )
      return blockOf
    },
    total: graph.stages.length,
    started: now,
    planned: new Map(),
    running: new Map(),
    done: new Map()
  }
}

/** Takes an event, which came at `now` (milliseconds), into the state. */
export const fold = (state: Progress, event: Event, now: number): void => {
  const start = (waiting: Running["waiting"]): Running => ({
    started: now,
    step: undefined,
    steps: undefined,
    from: undefined,
    metrics: {},
    waiting
  })
  const end = (stage: string, status: Done["status"], seconds: number, metrics: Metrics, remote = false) => {
    state.running.delete(stage)
    state.done.set(stage, { status, remote, seconds, metrics })
  }
  switch (event._tag) {
    case "StagePlanned":
      state.planned.set(event.stage, { action: event.action, reasons: event.reasons, seconds: event.seconds })
      return
    case "StageReused":
      end(event.stage, "reused", 0, event.metrics, event.remote !== undefined)
      return
    case "StageWaiting": {
      const { host, pid, step, steps } = event
      const before = state.running.get(event.stage) ?? start(undefined)
      state.running.set(event.stage, {
        ...before,
        step: step ?? before.step,
        steps: steps ?? before.steps,
        waiting: { pid, host }
      })
      return
    }
    case "StageStarted":
      state.running.set(event.stage, start(undefined))
      return
    case "StageProgress": {
      const before = state.running.get(event.stage) ?? start(undefined)
      const step = event.step ?? before.step
      state.running.set(event.stage, {
        started: before.started,
        step,
        steps: event.steps ?? before.steps,
        from:
          before.from ??
          (event.step === undefined || event.resumed === true ? undefined : { step: event.step, time: now }),
        metrics: { ...before.metrics, ...event.metrics },
        waiting: undefined
      })
      return
    }
    case "StageFinished":
      end(event.stage, "finished", event.seconds, event.metrics)
      return
    case "StageFailed":
      end(event.stage, "failed", 0, {})
      return
    case "StageSkipped":
      end(event.stage, "skipped", 0, {})
      return
  }
}

/** The stages of the same round of the same loop, itself among them; only itself where it is in no loop. */
export const roundMates = (state: Progress, stage: string): ReadonlyArray<string> => {
  const block = state.blockOf.get(stage)
  if (block === undefined || block.rounds === 0) return [stage]
  const { round } = roundOf(stage)
  return block.rows.flatMap(({ stages }) => stages.filter((mate) => roundOf(mate).round === round))
}

/** Seconds that a running stage still takes: by its pace so far, else by what it took last time. */
export const secondsLeft = (running: Running, planned: Planned | undefined, now: number): number | undefined => {
  const { from, step, steps } = running
  if (from !== undefined && step !== undefined && steps !== undefined && step > from.step) {
    return ((steps - step) * (now - from.time)) / (step - from.step) / 1000
  }
  if (planned?.seconds === undefined) return undefined
  return Math.max(0, planned.seconds - (now - running.started) / 1000)
}

/** Seconds that the rest of the run takes, where every stage that is to come ran before. */
export const totalSecondsLeft = (state: Progress, now: number): number | undefined => {
  let sum = 0
  for (const [stage, planned] of state.planned) {
    if (state.done.has(stage) || planned.action === "reuse") continue
    const running = state.running.get(stage)
    const seconds = running === undefined ? planned.seconds : secondsLeft(running, planned, now)
    if (seconds === undefined) return undefined
    sum += seconds
  }
  return sum
}
