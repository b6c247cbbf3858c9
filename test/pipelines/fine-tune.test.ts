import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Safetensors from "../../src/engine/safetensors.ts"

const root = join(import.meta.dirname, "../..")
const model = join(import.meta.dirname, "../operators/fixtures/huggingface/llama-bf16-shards")
/** The model reads 24 tokens: the template has to be short. */
const template =
  "{% for m in messages %}{{ m.role[0] + ':' + m.content }}{% if m.role == 'assistant' %}{{ '<|endoftext|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'a:' }}{% endif %}"

describe("pipelines/fine-tune.ts", () => {
  let folder = ""
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ptmflow-fine-tune-"))
    const rows = Array.from({ length: 80 }, (_, i) => ({
      id: `${i}`,
      messages: [
        { role: "user", content: `q${i}` },
        { role: "assistant", content: "yes" }
      ]
    }))
    writeFileSync(join(folder, "dialogues.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const ptmflow = (...args: ReadonlyArray<string>) =>
    promisify(execFile)(process.execPath, [join(root, "bin/ptmflow.mjs"), ...args, "--store", join(folder, "store")])

  it("imports a llama, fine-tunes it on dialogues, and exports what Hugging Face's tools read", async () => {
    const { stdout } = await ptmflow(
      "run",
      join(root, "pipelines/fine-tune.ts"),
      ...[`model=${model}`, `dialogues=${join(folder, "dialogues.jsonl")}`, `template=${template}`]
        .concat(["batch=8", "microBatch=4", "epochs=4", "loraRank=4", "learningRate=0.02"])
        .flatMap((setting) => ["--set", setting])
    )
    assert.match(stdout, /succeeded in .*: 5 ran/)
    const [before, after] = [...stdout.matchAll(/SFT loss (?:before|after) +([\d.]+)/g)].map(([, loss]) => Number(loss))
    assert.isBelow(after!, 0.7 * before!)
    await ptmflow("export", "export.files", join(folder, "out"))
    assert.deepStrictEqual(readdirSync(join(folder, "out")), ["config.json", "model.safetensors", "tokenizer.json"])
    const config = JSON.parse(readFileSync(join(folder, "out/config.json"), "utf8"))
    assert.deepInclude(config, { model_type: "llama", num_key_value_heads: 2, head_dim: 8, rope_theta: 500 })
    const tensors = Safetensors.decode(readFileSync(join(folder, "out/model.safetensors")))
    assert.deepStrictEqual(tensors.get("model.layers.1.self_attn.k_proj.weight")!.shape, [16, 24])
    assert.isFalse([...tensors.keys()].some((name) => name.includes("lora")))
  })
})
