/** Checked by `tsc --noEmit`: what must and must not compile (row 22 of the table of features). Nothing here runs. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Device } from "../../src/device/device.ts"
import type { Plan } from "../../src/executor/plan.ts"
import { plan } from "../../src/executor/plan.ts"
import { run } from "../../src/executor/run.ts"
import * as Operator from "../../src/operator/operator.ts"
import type { Port } from "../../src/operator/port.ts"
import type { Output } from "../../src/pipeline/output.ts"
import * as Pipeline from "../../src/pipeline/pipeline.ts"
import type { Store } from "../../src/store/store.ts"

interface Tokens {
  readonly ids: ReadonlyArray<number>
}
interface Rollout extends Tokens {
  readonly rewards: ReadonlyArray<number>
}
interface Checkpoint {
  readonly weights: Float32Array
}
declare const tokensPort: Port<Tokens>
declare const rolloutPort: Port<Rollout>
declare const checkpointPort: Port<Checkpoint>

class Judge extends Context.Service<Judge, { readonly grade: number }>()("test/Judge") {}

const read = Operator.make("read", {
  description: "",
  params: Schema.Struct({
    glob: Schema.String,
    limit: Schema.Number.pipe(Schema.withDecodingDefault(Effect.succeed(3)))
  }),
  inputs: {},
  outputs: { tokens: tokensPort },
  run: () => Effect.succeed({ tokens: { ids: [] } })
})
const train = Operator.make("train", {
  description: "",
  params: Schema.Struct({ learningRate: Schema.Number, nested: Schema.Struct({ beta: Schema.Number }) }),
  inputs: { tokens: tokensPort },
  outputs: { checkpoint: checkpointPort },
  usesDevice: true,
  run: Effect.fnUntraced(function* () {
    yield* Device
    return { checkpoint: { weights: new Float32Array(1) } }
  })
})
const rollout = Operator.make("rollout", {
  description: "",
  params: Schema.Struct({}),
  inputs: { checkpoint: checkpointPort, tokens: tokensPort },
  outputs: { rollout: rolloutPort },
  run: () => Effect.succeed({ rollout: { ids: [], rewards: [] } })
})
const improve = Operator.make("improve", {
  description: "",
  params: Schema.Struct({}),
  inputs: { checkpoint: checkpointPort, rollout: rolloutPort },
  outputs: { checkpoint: checkpointPort },
  run: Effect.fnUntraced(function* () {
    yield* Judge
    return { checkpoint: { weights: new Float32Array(1) } }
  })
})

export const good = Pipeline.make("good", {}, (p) => {
  const { tokens } = p.add(read, { params: { glob: "*.txt" } })
  const { checkpoint } = p.add(train, { inputs: { tokens }, params: { learningRate: 1, nested: { beta: 2 } } })
  const rolled = p.add(rollout, { inputs: { checkpoint, tokens } })
  // An output of a subtype fits: a rollout is tokens and more.
  p.add(train, { name: "again", inputs: { tokens: rolled.rollout } })
  p.add(train, { name: "placed", inputs: { tokens }, device: "cuda", resources: { gpu: 1, memory: 2e10 } })

  // @ts-expect-error there is no such device
  p.add(train, { inputs: { tokens }, device: "gpu" })
  // @ts-expect-error a stage that uses no device is not put on one
  p.add(rollout, { inputs: { checkpoint, tokens }, device: "cpu" })
  // @ts-expect-error nor does it need anything of one
  p.add(read, { params: { glob: "*.txt" }, resources: { memory: 1 } })
  // @ts-expect-error tokens are no rollout
  p.add(improve, { inputs: { checkpoint, rollout: tokens } })
  // @ts-expect-error a checkpoint is no tokens
  p.add(train, { inputs: { tokens: checkpoint } })
  // @ts-expect-error an input is missing
  p.add(rollout, { inputs: { checkpoint } })
  // @ts-expect-error all inputs are missing
  p.add(rollout)
  // @ts-expect-error there is no such input
  p.add(train, { inputs: { tokens, checkpoint } })
  // @ts-expect-error an operator without inputs takes none
  p.add(read, { inputs: { tokens } })
  // @ts-expect-error a parameter of the wrong type
  p.add(read, { params: { glob: 3 } })
  // @ts-expect-error a parameter that is not there
  p.add(read, { params: { glob: "a", globs: "b" } })
  // @ts-expect-error a nested parameter of the wrong type
  p.add(train, { inputs: { tokens }, params: { nested: { beta: "2" } } })
  // @ts-expect-error there is no such output
  rolled.tokens
  return { checkpoint }
})

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type NeedsOf<P> = P extends Pipeline.Pipeline<infer _, infer R> ? R : "no pipeline"

export const goodNeedsTheDevice: Equal<NeedsOf<typeof good>, Device> = true

export const readOnly = Pipeline.make("read-only", {}, (p) => {
  const { tokens } = p.add(read, { params: { glob: "*.txt" } })
  p.add(train, { inputs: { tokens } })
  return { tokens }
})
export const prunedStagesNeedNothing: Equal<NeedsOf<typeof readOnly>, never> = true

export const looped = Pipeline.make("looped", { params: Schema.Struct({ rounds: Schema.Number }) }, (p, params) => {
  const { tokens } = p.add(read, { params: { glob: "*.txt" } })
  const { checkpoint } = p.add(train, { inputs: { tokens } })
  const policy = p.iterate(params.rounds, checkpoint, (state, i) => {
    const round: number = i
    const rolled = p.add(rollout, { inputs: { checkpoint: state, tokens } })
    return p.add(improve, { inputs: { checkpoint: state, rollout: rolled.rollout }, name: `improve${round}` })
      .checkpoint
  })
  const both = p.iterate(2, { policy, tokens }, ({ policy, tokens }) => {
    const rolled = p.add(rollout, { inputs: { checkpoint: policy, tokens } })
    return { policy, tokens: rolled.rollout }
  })
  // @ts-expect-error the state goes round as a checkpoint, not as tokens
  p.iterate(2, checkpoint, () => tokens)
  // @ts-expect-error there is no such parameter
  params.round
  return { policy: both.policy, tokens: both.tokens }
})
export const loopNeedsBoth: Equal<NeedsOf<typeof looped>, Device | Judge> = true

declare const together: Operator.Operator<
  object,
  { readonly [partition: string]: Port<Checkpoint> },
  { readonly checkpoint: Port<Checkpoint> },
  never,
  never
>
export const partitioned = Pipeline.make("partitioned", {}, (p) => {
  const parts = p.partition(["a", "b"], (partition) => {
    const { tokens } = p.add(read, { params: { glob: partition } })
    return { tokens, checkpoint: p.add(train, { inputs: { tokens } }).checkpoint }
  })
  const one: { readonly [partition: string]: Output<Tokens, never> } = p.partition(
    ["a"],
    (partition) => p.add(read, { params: { glob: partition } }).tokens
  )
  p.add(together, { inputs: parts.checkpoint })
  // @ts-expect-error the partitions are tokens, and checkpoints are wanted
  p.add(together, { inputs: one })
  return { checkpoint: p.add(together, { inputs: parts.checkpoint }).checkpoint }
})
export const partitionsNeedWhatTheirStagesNeed: Equal<NeedsOf<typeof partitioned>, Device> = true

declare const widened: Output<Tokens, Device>
export const outputsAreCovariant: Output<object, Device | Judge> = widened
// @ts-expect-error what a stage needs cannot be forgotten
export const needsCannotBeForgotten: Output<Tokens, never> = widened

declare const store: Store["Service"]
declare const device: Device["Service"]
declare const StoreTag: typeof Store

const ran = Effect.flatMap(Pipeline.build(good), (graph) => run(graph)).pipe(Effect.provideService(StoreTag, store))
// @ts-expect-error a pipeline that needs a device does not run without one
Effect.runPromise(ran)
void Effect.runPromise(ran.pipe(Effect.provideService(Device, device)))
const planned = Effect.flatMap(Pipeline.build(good), (graph) => plan(graph)).pipe(
  Effect.provideService(StoreTag, store)
)
// @ts-expect-error nor is it planned without one: the numerics of the device are part of the keys
Effect.runPromise(planned)
export const plannedHere: Promise<Plan> = Effect.runPromise(planned.pipe(Effect.provideService(Device, device)))
// @ts-expect-error one that needs a store does not run without one
void Effect.runPromise(Effect.flatMap(Pipeline.build(readOnly), (graph) => run(graph)))
