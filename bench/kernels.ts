/**
 * Share of the processor's fused-multiply-add peak that the CPU kernels reach, in f32: `npx node bench/kernels.ts [seconds a row, default 0.3]`.
 * The peak is the most that one thread reached in registers until then, and is counted once for each thread. A row's time is its best
 * repeat. On a machine that does anything else the figures with several threads say little: threads wait for each other.
 * Only the visible half of attention's scores counts as work.
 */
import * as Effect from "effect/Effect"
import { defaultCache } from "../src/device/cache.ts"
import { build } from "../src/device/cpu/build.ts"
import { cpu } from "../src/device/cpu/cpu.ts"
import { load } from "../src/device/cpu/native.ts"
import { findCompiler, numerics } from "../src/device/cpu/toolchain.ts"
import { Device } from "../src/device/device.ts"
import { Activation, type AnyLaunch, type BufferRef, Precision } from "../src/device/kernel.ts"
import { operandBytes } from "../src/device/operands.ts"

interface Row {
  readonly name: string
  readonly flops: number
  readonly launch: AnyLaunch
}

const seconds = Number(process.argv[2] ?? 0.3)
const at = (memory: number): BufferRef => ({ memory, offset: 0 })

const matmul = (m: number, n: number, k: number, transposeA = 0, transposeB = 0): Row => ({
  name: `matmul ${m} x ${n} x ${k}${transposeA ? ", a transposed" : ""}${transposeB ? ", b transposed" : ""}`,
  flops: 2 * m * n * k,
  launch: {
    kernel: "matmul",
    buffers: { a: at(0), b: at(1), out: at(2) },
    integers: { m, n, k, transposeA, transposeB, accumulate: 0, activation: Activation.none, precision: Precision.f32 },
    reals: {}
  }
})

const attention = (batch: number, length: number, heads: number, headWidth: number): ReadonlyArray<Row> => {
  const integers = { batch, length, heads, keyHeads: heads, headWidth }
  const product = batch * heads * length * (length + 1) * headWidth
  const name = `${batch} x ${heads} heads of ${headWidth}, T = ${length}`
  return [
    {
      name: `attention ${name}`,
      flops: 2 * product,
      launch: { kernel: "attention", buffers: { qkv: at(0), out: at(1), logSumExp: at(2) }, integers, reals: {} }
    },
    {
      name: `attentionGradient ${name}`,
      flops: 5 * product,
      launch: {
        kernel: "attentionGradient",
        buffers: { qkv: at(0), out: at(1), logSumExp: at(2), dOut: at(3), dQkv: at(4) },
        integers,
        reals: {}
      }
    }
  ]
}

const rows: ReadonlyArray<Row> = [
  matmul(1024, 1024, 1024),
  matmul(1024, 1024, 1024, 0, 1),
  matmul(1024, 1024, 1024, 1, 0),
  matmul(1024, 128, 128),
  matmul(1024, 384, 128),
  matmul(1024, 512, 128),
  matmul(1024, 128, 512),
  matmul(2048, 384, 384),
  matmul(2048, 1024, 256),
  matmul(2048, 256, 1024),
  matmul(2048, 256, 1024, 0, 1),
  // The gradient of a weight: rows are summed over.
  matmul(128, 512, 1024, 1, 0),
  matmul(384, 1024, 2048, 1, 0),
  // Decoding.
  matmul(1, 1024, 256),
  matmul(8, 1024, 256),
  ...attention(8, 96, 4, 32),
  ...attention(8, 128, 4, 32),
  ...attention(8, 256, 6, 64)
]

/** Best time of one launch, in seconds. */
const time = (row: Row) =>
  Effect.gen(function* () {
    const device = yield* Device
    const operands = operandBytes(row.launch, "f32").toSorted((a, b) => a.buffer.memory - b.buffer.memory)
    const memories = yield* Effect.forEach(operands, ({ bytes }) =>
      Effect.gen(function* () {
        const memory = yield* device.allocate(bytes)
        const values = Float32Array.from({ length: bytes / 4 }, (_, i) => ((i * 7919) % 1999) / 2000 - 0.5)
        yield* device.write(memory, 0, values)
        return memory
      })
    )
    const program = { name: row.name, memories: memories.length, launches: [row.launch] }
    const executable = yield* device.compile(program, memories)
    // Enough launches in a call that the call itself does not count.
    const times = Math.max(1, Math.ceil(2e8 / row.flops))
    let best = Infinity
    const end = performance.now() + seconds * 1000
    do {
      const start = performance.now()
      yield* executable.run(times)
      best = Math.min(best, (performance.now() - start) / 1000 / times)
    } while (performance.now() < end)
    return best
  }).pipe(Effect.scoped)

const main = Effect.gen(function* () {
  const cache = defaultCache()
  const compiler = findCompiler(cache)
  const native = yield* load(yield* build(compiler, cache, numerics(compiler, "f32"), "f32"))
  const threads = [1, 2]
  const header = threads.map((n) => `${n === 1 ? "1 thread" : `${n} threads`}`.padStart(12) + "of peak".padStart(10))
  console.log(`${"GFLOP/s".padEnd(52)}${header.join("")}`)
  let most = 0
  for (let repeat = 0; repeat < 10; repeat++) most = Math.max(most, native.peak(50))
  for (const row of rows) {
    let line = row.name.padEnd(52)
    for (const n of threads) {
      most = Math.max(most, native.peak(50))
      const took = yield* time(row).pipe(Effect.provide(cpu({ threads: n })))
      const rate = row.flops / took
      line += (rate / 1e9).toFixed(1).padStart(12) + `${((100 * rate) / (most * n)).toFixed(0)}%`.padStart(10)
    }
    console.log(line)
  }
  console.log(`${"peak of one thread".padEnd(52)}${(most / 1e9).toFixed(1).padStart(12)}`)
})

await Effect.runPromise(main)
