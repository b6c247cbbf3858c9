import { execFile } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../../operators/checkpoint.ts"
import { exportCheckpoint } from "../../operators/export-checkpoint.ts"
import { HuggingFaceError } from "../../operators/huggingface/config.ts"
import { HuggingFacePort } from "../../operators/huggingface/port.ts"
import { importCheckpoint } from "../../operators/import-checkpoint.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { initialize, type ModelConfig, withScalarHead } from "../../src/engine/model.ts"
import * as Safetensors from "../../src/engine/safetensors.ts"
import * as Session from "../../src/engine/session.ts"
import { Stage } from "../../src/operator/stage.ts"
import { temporaryBlobs } from "../table/blobs.ts"
import { makeStage } from "./stage.ts"

const fixtures = join(import.meta.dirname, "fixtures/huggingface")
const models = ["gpt2", "gpt2-untied-f16", "llama-tied", "llama-bf16-shards"]

const importFrom = Effect.fnUntraced(
  function* (folder: string) {
    const params = { folder }
    const sources = yield* importCheckpoint.sources!(params)
    return (yield* importCheckpoint.run({ inputs: {}, params, sources })).checkpoint
  },
  Effect.provideService(Stage, makeStage().stage)
)

/** A folder that goes with the test, with the files of a fixture. */
const copyOf = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "ptmflow-huggingface-"))
      cpSync(join(fixtures, name), folder, { recursive: true })
      return folder
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )

/** log softmax(logits) of each row, for all tokens: every token is once the target of every row. */
const logSoftmax = Effect.fnUntraced(function* ({ weights }: Checkpoint, ids: ReadonlyArray<number>) {
  const session = yield* Session.make(weights)
  const { vocabulary } = weights.config
  const length = ids.length
  const tokens = Int32Array.from({ length: vocabulary * length }, (_, i) => ids[i % length]!)
  const targets = Int32Array.from({ length: vocabulary * length }, (_, i) => Math.floor(i / length))
  const batch = { batch: vocabulary, length, tokens, targets, sequences: [] }
  const { logProbability } = yield* session.statistics(batch, { language: true, scalar: false, temperature: 1 })
  return Array.from({ length }, (_, row) =>
    Array.from({ length: vocabulary }, (_, token) => logProbability[token * length + row]!)
  )
}, Effect.scoped)

/** Logits are known up to a constant a row by what their softmax is. */
const assertSameLogits = (base64: string, actual: ReadonlyArray<ReadonlyArray<number>>) => {
  const bytes = new Uint8Array(Buffer.from(base64, "base64"))
  const logits = new Float32Array(bytes.buffer)
  const vocabulary = actual[0]!.length
  assert.strictEqual(logits.length, actual.length * vocabulary)
  actual.forEach((row, t) => {
    const expected = Array.from(logits.subarray(t * vocabulary, (t + 1) * vocabulary))
    const top = Math.max(...expected)
    const logSum = top + Math.log(expected.reduce((sum, x) => sum + Math.exp(x - top), 0))
    row.forEach((value, token) => {
      assert.closeTo(value, expected[token]! - logSum, 1e-4, `row ${t}, token ${token}`)
    })
    assert.isAbove(top - Math.min(...expected), 1, "the logits are not trivial")
  })
}

describe("Hugging Face's files", () => {
  for (const name of models) {
    it.effect(`${name}: logits are those of transformers`, () =>
      Effect.gen(function* () {
        const checkpoint = yield* importFrom(join(fixtures, name))
        const { ids, logits } = JSON.parse(readFileSync(join(fixtures, name, "logits.json"), "utf8"))
        assertSameLogits(logits, yield* logSoftmax(checkpoint, ids))
        // The model has rows for two more ids than the tokenizer: sampled, they say nothing.
        const { tokenizer } = checkpoint
        assert.strictEqual(tokenizer.special.endOfText, 256)
        assert.strictEqual(tokenizer.vocabularySize, 260)
        assert.strictEqual(tokenizer.decode([...tokenizer.encode("é"), 258, 259]), "é")
      }).pipe(Effect.provide(cpu({ threads: 2 })))
    )

    it.effect(`${name}: exported in one file or in shards, and imported again, it is the same bits`, () =>
      Effect.gen(function* () {
        const checkpoint = yield* importFrom(join(fixtures, name))
        const blobs = yield* temporaryBlobs
        for (const shardBytes of [5e9, 12_000]) {
          const inputs = { checkpoint }
          const { files } = yield* exportCheckpoint.run({ inputs, params: { shardBytes }, sources: [] })
          const artifact = yield* HuggingFacePort.encode(files, blobs)
          const written = Object.keys(artifact.parts).filter((part) => part.endsWith(".safetensors"))
          assert.strictEqual(written.length > 1, shardBytes === 12_000)
          const back = (yield* HuggingFacePort.decode(artifact, blobs)).checkpoint
          assert.deepStrictEqual(back.weights, checkpoint.weights)
          assert.strictEqual(back.tokenizer.json, checkpoint.tokenizer.json)
        }
      }).pipe(Effect.provideService(Stage, makeStage().stage), Effect.scoped)
    )
  }

  it.effect("a policy with a value head is exported without it", () =>
    Effect.gen(function* () {
      const checkpoint = yield* importFrom(join(fixtures, "llama-tied"))
      const policy = { ...checkpoint, weights: withScalarHead(checkpoint.weights, "reward", 1) }
      const blobs = yield* temporaryBlobs
      const plain = yield* HuggingFacePort.encode({ checkpoint, shardBytes: 1e9 }, blobs)
      const exported = yield* HuggingFacePort.encode({ checkpoint: policy, shardBytes: 1e9 }, blobs)
      assert.strictEqual(exported.digest, plain.digest)
    }).pipe(Effect.scoped)
  )

  const changeConfig = (folder: string, change: object) => {
    const file = join(folder, "config.json")
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }))
  }
  const refused: ReadonlyArray<readonly [string, object, RegExp]> = [
    ["llama-tied", { rope_scaling: { rope_type: "llama3", factor: 8 } }, /rope_scaling\.rope_type.*llama3/],
    ["llama-tied", { rope_parameters: { rope_type: "yarn" } }, /rope_parameters\.rope_type.*yarn/],
    ["llama-tied", { attention_bias: true }, /attention_bias/],
    ["llama-tied", { hidden_act: "gelu" }, /hidden_act.*gelu/],
    ["llama-tied", { sliding_window: 4096 }, /sliding_window/],
    ["llama-tied", { quantization_config: {} }, /quantization_config/],
    ["llama-tied", { model_type: "mamba" }, /model_type.*mamba/],
    ["llama-tied", { num_key_value_heads: 3 }, /keyHeads.*heads 4 is not a multiple of keyHeads 3/],
    ["llama-tied", { hidden_size: undefined }, /hidden_size.*missing/],
    ["llama-tied", { intermediate_size: 48 }, /gate_proj.*its shape is \[40, 24\], by config\.json it is \[48, 24\]/],
    ["llama-tied", { num_hidden_layers: 3 }, /model\.layers\.2\.input_layernorm\.weight.*missing|layers\.2.*missing/],
    ["llama-tied", { num_hidden_layers: 1 }, /model\.layers\.1\..*no such tensor/],
    ["llama-tied", { vocab_size: 250 }, /258 tokens, the model's vocabulary \(vocab_size\) is 250/],
    ["gpt2", { activation_function: "relu" }, /activation_function.*relu/],
    ["gpt2", { layer_norm_epsilon: 1e-6 }, /layer_norm_epsilon/],
    ["gpt2", { n_inner: 100 }, /n_inner/],
    ["gpt2", { n_positions: 25 }, /wpe\.weight.*its shape is \[24, 24\], by config\.json it is \[25, 24\]/]
  ]
  it.effect("what ptmflow does not do, or does not fit, is refused by its name", () =>
    Effect.gen(function* () {
      for (const [name, change, message] of refused) {
        const folder = yield* copyOf(name)
        changeConfig(folder, change)
        const error = yield* Effect.flip(importFrom(folder))
        assert.instanceOf(error, HuggingFaceError, String(message))
        assert.match(`${error.place}: ${error.message}`, message)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("files that are missing or cut off are named", () =>
    Effect.gen(function* () {
      const message = (folder: string) =>
        Effect.map(Effect.flip(importFrom(folder)), ({ message, place }) => `${place}: ${message}`)
      const missing = yield* copyOf("llama-bf16-shards")
      rmSync(join(missing, "model-00002-of-00003.safetensors"))
      assert.match(yield* message(missing), /there is no model-00002-of-00003\.safetensors/)
      const torn = yield* copyOf("gpt2")
      const file = join(torn, "model.safetensors")
      writeFileSync(file, readFileSync(file).subarray(0, -10))
      assert.match(yield* message(torn), /model\.safetensors: .*do not hold shape/)
      rmSync(join(torn, "tokenizer.json"))
      assert.match(yield* message(torn), /there is no tokenizer\.json/)
      assert.match(yield* message(join(torn, "nowhere")), /ENOENT/)
    }).pipe(Effect.scoped)
  )

  const python = process.env["PTMFLOW_TRANSFORMERS_PYTHON"]
  it.effect.skipIf(python === undefined)(
    "transformers loads what is exported, to the same logits",
    () =>
      Effect.gen(function* () {
        const { tokenizer } = yield* importFrom(join(fixtures, "gpt2"))
        const shared = { layers: 3, heads: 8, width: 128, vocabulary: 260, context: 64, scalarHead: false }
        const llama = { keyHeads: 2, headWidth: 24, feedForward: 352, ropeTheta: 10_000, normEpsilon: 1e-5 }
        const configs: ReadonlyArray<ModelConfig> = [
          { family: "gpt2", ...shared },
          { family: "llama", ...shared, ...llama, tied: false }
        ]
        const ids = Array.from({ length: 64 }, (_, i) => (i * 37) % 260)
        for (const config of configs) {
          const weights = initialize(config, 3)
          // Wider than at the start, so that attention is not uniform.
          weights.values.forEach((value, i) => {
            weights.values[i] = value * 3
          })
          const checkpoint = { weights, tokenizer }
          const blobs = yield* temporaryBlobs
          const artifact = yield* HuggingFacePort.encode({ checkpoint, shardBytes: 300_000 }, blobs)
          const folder = yield* copyOf("gpt2")
          for (const name of readdirSync(folder)) rmSync(join(folder, name))
          for (const [name, blob] of Object.entries(artifact.parts)) cpSync(yield* blobs.path(blob), join(folder, name))
          const script = join(fixtures, "make.py")
          const { stdout } = yield* Effect.promise(() =>
            promisify(execFile)(python!, [script, folder, ids.join()], { maxBuffer: 2 ** 26 })
          )
          assertSameLogits(stdout.trim().split("\n").at(-1)!, yield* logSoftmax(checkpoint, ids))
        }
      }).pipe(Effect.scoped, Effect.provide(cpu({ threads: 2 }))),
    120_000
  )
})

describe("16-bit elements of safetensors", () => {
  it("are read as the numbers that they are", () => {
    const single = (dtype: "F16" | "BF16", ...halves: ReadonlyArray<number>) =>
      Array.from(Safetensors.toSingle(new Uint8Array(Uint16Array.from(halves).buffer), dtype))
    const f16 = [0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x0400, 0x7c00, 0xfc00, 0x3555]
    const expected = [0, -0, 1, -2, 65504, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, Infinity, -Infinity, 0.333251953125]
    assert.deepStrictEqual(single("F16", ...f16), expected)
    assert.isNaN(single("F16", 0x7e00)[0])
    assert.deepStrictEqual(single("BF16", 0x3f80, 0xc040, 0x0080, 0x7f80), [1, -3, 2 ** -126, Infinity])
  })

  it("of all patterns, float16 is JavaScript's own", () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, i) => i)
    const own = (globalThis as unknown as { Float16Array: new (buffer: ArrayBuffer) => ArrayLike<number> }).Float16Array
    assert.deepStrictEqual(
      Array.from(Safetensors.toSingle(new Uint8Array(halves.buffer), "F16")),
      Array.from(new own(halves.buffer))
    )
  })
})
