/**
 * Figures of the card of this machine: ours on the CUDA device, peers on the same card, in turns. Prints the table of
 * docs/benchmarks.md and writes it beside it as JSON. `--rehearse`: tiny sizes on the CPU device, to see that it runs.
 */
import { writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describeCuda } from "../../src/device/cuda/describe.ts"
import { Bench, type Case } from "../bench.ts"
import { compare } from "../compare.ts"
import { commit, describeMachine } from "../machine.ts"
import { forwardFlops, freshModel, models, type Shape, shapeText, trainingFlops } from "../models.ts"
import { findPeers } from "../peers.ts"
import { Report, type Row } from "../result.ts"
import { markdown } from "../table.ts"

const rehearse = process.argv.includes("--rehearse")
const device = rehearse ? "cpu" : "cuda"
const model = rehearse ? models.tiny : models["124M"]
const dtype = rehearse ? "f32" : "bf16"
const epochs = 4

/** bf16 FLOP/s of the tensor cores, dense, as NVIDIA states it (H100 SXM, H200: 989.4 TFLOP/s), or 0 of another card. */
const tensorPeak = (name: string): number => (/H100|H200|GH200/.test(name) ? 989.4e12 : 0)

const train: Case = {
  name: "train",
  run: Effect.gen(function* () {
    const { peers } = yield* Bench
    const shape: Shape = rehearse ? model : { ...model, context: 1024, batch: 16 }
    const request = { work: "train", device, threads: 1, dtype, ...shape }
    const row = yield* compare({
      name: "gpu/train",
      work: `training step ${dtype}, ${shapeText(shape)}`,
      unit: "tokens/s",
      units: shape.batch * shape.context,
      flops: shape.batch * shape.context * trainingFlops(shape),
      target: { kind: "ratio", value: 1 },
      ours: { variant: dtype, request },
      peer: {
        name: "PyTorch",
        peer: peers.torch,
        variants: [
          { name: "compiled", request: { ...request, compile: true, fusedHead: false } },
          {
            name: "compiled, max-autotune",
            request: { ...request, compile: true, fusedHead: false, mode: "max-autotune" }
          }
        ].slice(0, rehearse ? 1 : 2)
      },
      expected: freshModel(shape)
    })
    return [row]
  })
}

const generate: Case = {
  name: "generate",
  run: Effect.gen(function* () {
    const { peers } = yield* Bench
    const [prompt, fresh] = rehearse ? [8, 16] : [64, 192]
    const shape: Shape = { ...model, batch: rehearse ? 4 : 64 }
    const request = { work: "generate", device, threads: 1, prompt, new: fresh, ...shape }
    const variants = (rehearse ? ["f32"] : ["f32", "bf16"]).map((dtype) => ({
      name: `transformers generate, ${dtype}`,
      request: { ...request, work: "hf_generate", dtype }
    }))
    const row = yield* compare({
      name: "gpu/generate",
      work: `generation, ${shapeText(shape)}, ${prompt} + ${fresh} tokens`,
      unit: "new tokens/s",
      units: shape.batch * fresh,
      flops: shape.batch * (prompt + fresh) * forwardFlops(shape, prompt + fresh),
      target: { kind: "ratio", value: 10 },
      ours: { variant: "f32", request },
      peer: { name: "transformers", peer: peers.torch, variants },
      expected: freshModel(shape)
    })
    return [row]
  })
}

const ppo: Case = {
  name: "ppo",
  run: Effect.gen(function* () {
    const { peers } = yield* Bench
    const [prompt, fresh] = rehearse ? [8, 16] : [64, 128]
    const shape: Shape = { ...model, batch: rehearse ? 4 : 64 }
    const request = { work: "ppo", device, threads: 1, dtype, prompt, new: fresh, epochs, ...shape }
    const tokens = shape.batch * (prompt + fresh)
    const row = yield* compare({
      name: "gpu/ppo",
      work: `PPO iteration, ${shapeText(shape)}, ${prompt} + ${fresh} tokens, ${epochs} epochs`,
      unit: "tokens/s",
      units: tokens,
      flops: tokens * (3 + 3 * epochs) * forwardFlops(shape, prompt + fresh),
      target: { kind: "ratio", value: 3 },
      ours: { variant: dtype, request },
      peer: {
        name: "TRL-style loop",
        peer: peers.torch,
        variants: [{ name: `transformers, ${dtype}`, request: { ...request, work: "hf_ppo" } }]
      },
      expected: freshModel(shape, true)
    })
    return [row]
  })
}

const main = Effect.gen(function* () {
  const { cards, problem } = yield* describeCuda()
  if (!rehearse && problem !== null) return yield* Effect.die(problem)
  const peers = yield* Effect.promise(findPeers)
  const card = rehearse ? "rehearsal on the CPU" : cards[0]!.name
  const rows: Array<Row> = []
  const repeats = rehearse ? 1 : 5
  for (const each of [train, generate, ppo]) {
    process.stderr.write(`${each.name}\n`)
    rows.push(...(yield* Effect.provideService(each.run, Bench, Bench.of({ threads: 1, repeats, peers }))))
  }
  const peak = tensorPeak(card)
  const machine = describeMachine()
  const report: Report = {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    command: ["figures", ...process.argv.slice(2)].join(" "),
    commit: process.env["PTMFLOW_COMMIT"] ?? commit(),
    machine: { ...machine, processor: `${card}; ${machine.processor}` },
    versions: {
      node: `Node ${process.versions.node}`,
      torch: peers.torch.found ? peers.torch.version : peers.torch.message
    },
    threads: 1,
    repeats,
    peak,
    rows: peak === 0 ? rows.map((row) => ({ ...row, flops: null })) : rows
  }
  writeFileSync("figures.json", `${JSON.stringify(Schema.encodeSync(Report)(report), null, 1)}\n`)
  writeFileSync("figures.md", markdown(report))
  process.stdout.write(markdown(report))
})

await Effect.runPromise(main)
