/**
 * Hugging Face's `config.json` of GPT-2 and Llama models, as a configuration and back.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { ModelConfig } from "../../src/engine/model.ts"

/** A model in Hugging Face's files that is not whole, or asks for something ptmflow does not do. `place` is a file with a path inside it. */
export class HuggingFaceError extends Schema.TaggedError<HuggingFaceError>()("HuggingFaceError", {
  place: Schema.String,
  message: Schema.String
}) {}

type Fields = { readonly [field: string]: unknown }

const fail = (field: string, message: string) => new HuggingFaceError({ place: `config.json: ${field}`, message })

const show = (value: unknown) => JSON.stringify(value)

/** Reads fields by name, and refuses those whose value would make another model of it. */
const reader = (fields: Fields) => ({
  positive: (name: string, otherwise?: number): number => {
    const value = fields[name] ?? otherwise
    if (typeof value === "number" && value > 0) return value
    throw fail(name, value === undefined ? "it is missing" : `${show(value)} is not a number above 0`)
  },
  flag: (name: string, otherwise: boolean): boolean => {
    const value = fields[name] ?? otherwise
    if (typeof value === "boolean") return value
    throw fail(name, `${show(value)} is neither true nor false`)
  },
  only: (name: string, supported: ReadonlyArray<unknown>): void => {
    const value = fields[name] ?? null
    if (value !== null && !supported.includes(value)) {
      throw fail(name, `${show(value)} is not supported, only ${supported.map(show).join(" or ")}`)
    }
  }
})

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The configuration that a `config.json` describes. Throws HuggingFaceError naming the field that is missing or not supported. */
export const parse = (file: string): ModelConfig => {
  let fields: unknown
  try {
    fields = JSON.parse(file)
  } catch (cause) {
    throw fail("", `it is not JSON: ${String(cause)}`)
  }
  if (!isFields(fields)) throw fail("", "it is not an object")
  if (fields["quantization_config"] !== undefined) {
    throw fail("quantization_config", "quantised weights are not supported: take the model's unquantised files")
  }
  if (fields["model_type"] === "gpt2") return gpt2(fields)
  if (fields["model_type"] === "llama") return llama(fields)
  throw fail("model_type", `${show(fields["model_type"])} is not supported, only "gpt2" or "llama"`)
}

const gpt2 = (fields: Fields): ModelConfig => {
  const { flag, only, positive } = reader(fields)
  only("activation_function", ["gelu_new", "gelu_pytorch_tanh"])
  only("layer_norm_epsilon", [1e-5])
  only("scale_attn_weights", [true])
  only("scale_attn_by_inverse_layer_idx", [false])
  only("add_cross_attention", [false])
  const width = positive("n_embd")
  only("n_inner", [4 * width])
  const config = {
    family: "gpt2" as const,
    layers: positive("n_layer"),
    heads: positive("n_head"),
    width,
    vocabulary: positive("vocab_size"),
    context: positive("n_positions"),
    scalarHead: false
  }
  return flag("tie_word_embeddings", true) ? config : { ...config, tied: false }
}

/** Where positions are described: fields of its own, or (since transformers 5) an object. */
const rotaryTheta = (fields: Fields): number => {
  for (const name of ["rope_scaling", "rope_parameters"]) {
    const value = fields[name] ?? {}
    if (!isFields(value)) throw fail(name, `${show(value)} is not an object`)
    const type = value["rope_type"] ?? value["type"] ?? "default"
    if (type !== "default") {
      throw fail(`${name}.rope_type`, `scaled rotary positions (${show(type)}) are not supported, only "default"`)
    }
    reader(value).only("partial_rotary_factor", [1])
  }
  const given = (fields["rope_parameters"] ?? fields["rope_scaling"] ?? {}) as Fields
  return reader({ rope_theta: given["rope_theta"] ?? fields["rope_theta"] }).positive("rope_theta", 10_000)
}

const llama = (fields: Fields): ModelConfig => {
  const { flag, only, positive } = reader(fields)
  only("hidden_act", ["silu"])
  only("attention_bias", [false])
  only("mlp_bias", [false])
  only("partial_rotary_factor", [1])
  only("sliding_window", [])
  const width = positive("hidden_size")
  const heads = positive("num_attention_heads")
  return {
    family: "llama",
    layers: positive("num_hidden_layers"),
    heads,
    keyHeads: positive("num_key_value_heads", heads),
    headWidth: positive("head_dim", width / heads),
    width,
    feedForward: positive("intermediate_size"),
    vocabulary: positive("vocab_size"),
    context: positive("max_position_embeddings"),
    ropeTheta: rotaryTheta(fields),
    normEpsilon: positive("rms_norm_eps", 1e-6),
    tied: flag("tie_word_embeddings", false),
    scalarHead: false
  }
}

/** The `config.json` of a configuration; `endOfText` is the id that ends a text, if one does. The scalar head is no part of it. */
export const write = (config: ModelConfig, endOfText: number | undefined): string => {
  const common = {
    torch_dtype: "float32",
    vocab_size: config.vocabulary,
    bos_token_id: endOfText ?? null,
    eos_token_id: endOfText ?? null
  }
  const fields =
    config.family === "gpt2"
      ? {
          architectures: ["GPT2LMHeadModel"],
          model_type: "gpt2",
          activation_function: "gelu_new",
          layer_norm_epsilon: 1e-5,
          n_layer: config.layers,
          n_head: config.heads,
          n_embd: config.width,
          n_inner: null,
          n_positions: config.context,
          n_ctx: config.context,
          attn_pdrop: 0,
          embd_pdrop: 0,
          resid_pdrop: 0,
          tie_word_embeddings: config.tied ?? true,
          ...common
        }
      : {
          architectures: ["LlamaForCausalLM"],
          model_type: "llama",
          hidden_act: "silu",
          attention_bias: false,
          attention_dropout: 0,
          mlp_bias: false,
          num_hidden_layers: config.layers,
          num_attention_heads: config.heads,
          num_key_value_heads: config.keyHeads,
          head_dim: config.headWidth,
          hidden_size: config.width,
          intermediate_size: config.feedForward,
          max_position_embeddings: config.context,
          rms_norm_eps: config.normEpsilon,
          rope_theta: config.ropeTheta,
          rope_parameters: { rope_type: "default", rope_theta: config.ropeTheta },
          tie_word_embeddings: config.tied,
          ...common
        }
  return `${JSON.stringify(fields, null, 2)}\n`
}
