/**
 * Which tensors Hugging Face's files have for a model, and where each lies in a parameter of ours.
 *
 * @since 0.1.0
 */
import { layout, type ModelConfig, type Parameter } from "../../src/engine/model.ts"
import { size } from "../../src/engine/tensor.ts"

/**
 * One tensor of a file. A transposed one, [out, in] in the file (PyTorch's Linear), is columns `column` to `column` + out of a parameter
 * [in, columns]; one that is not is the whole parameter as it is (GPT-2's Conv1D is [in, out] in the file too).
 */
export interface Part {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly parameter: Parameter
  readonly transposed: boolean
  readonly column: number
}

const whole = (parameter: Parameter, name: string): Part => ({
  name,
  shape: parameter.shape,
  parameter,
  transposed: false,
  column: 0
})

/** Parameters that are several linear layers side by side, by their last name. */
const joined = (
  config: ModelConfig & { readonly family: "llama" }
): Record<string, ReadonlyArray<[string, number]>> => ({
  qkv_proj: [
    ["q_proj", config.heads * config.headWidth],
    ["k_proj", config.keyHeads * config.headWidth],
    ["v_proj", config.keyHeads * config.headWidth]
  ],
  gate_up_proj: [
    ["gate_proj", config.feedForward],
    ["up_proj", config.feedForward]
  ]
})

/** The tensors of a language model's file, in the order in which they are written. The scalar head is not among them. */
export const parts = (config: ModelConfig): ReadonlyArray<Part> => {
  const parameters = layout(config).parameters.filter(({ name }) => !name.startsWith("score."))
  if (config.family === "gpt2") {
    return parameters.map((p) => whole(p, p.name.startsWith("lm_head") ? p.name : `transformer.${p.name}`))
  }
  const groups = joined(config)
  return parameters.flatMap((parameter): ReadonlyArray<Part> => {
    const { name, shape } = parameter
    const [path, layer] = [name.split("."), name.split(".").at(-2)!]
    if (!layer.endsWith("_proj")) return [whole(parameter, name)]
    let column = 0
    return (groups[layer] ?? [[layer, shape[1]!]]).map(([single, out]) => {
      const part: Part = {
        name: [...path.slice(0, -2), single, "weight"].join("."),
        shape: [out, shape[0]!],
        parameter,
        transposed: true,
        column
      }
      column += out
      return part
    })
  })
}

/** Names under which a tensor may be in a file: those of the model with its head, and those of the model alone. */
export const namesOf = ({ name }: Part): ReadonlyArray<string> => [name, name.replace(/^(transformer|model)\./, "")]

/** Tensors that files have and a model needs not: what can be computed, and a head that is the token table. */
export const isDerived = (config: ModelConfig, name: string): boolean =>
  /\.attn\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$/.test(name) ||
  (config.tied !== false && name === "lm_head.weight")

const TILE = 64

/** Puts rows `row` to `row` + rows of a file's tensor into its parameter. values: those rows, [rows, columns]. */
export const place = (part: Part, values: Float32Array, row: number, into: Float32Array): void => {
  const columns = size(part.shape.slice(1))
  const { offset, shape } = part.parameter
  if (!part.transposed) {
    into.set(values, offset + row * columns)
    return
  }
  const wide = shape[1]!
  const rows = values.length / columns
  for (let from = 0; from < columns; from += TILE) {
    const to = Math.min(from + TILE, columns)
    for (let r = 0; r < rows; r++) {
      for (let c = from; c < to; c++) into[offset + c * wide + part.column + row + r] = values[r * columns + c]!
    }
  }
}

/** The file's tensor of a part, taken out of the model's values: a view where it lies as it is written. */
export const extract = (part: Part, values: Float32Array): Float32Array => {
  const { offset, shape } = part.parameter
  const count = size(part.shape)
  if (!part.transposed) return values.subarray(offset, offset + count)
  const [out, inner] = part.shape as [number, number]
  const wide = shape[1]!
  const result = new Float32Array(count)
  for (let from = 0; from < out; from += TILE) {
    const to = Math.min(from + TILE, out)
    for (let i = 0; i < inner; i++) {
      for (let o = from; o < to; o++) result[o * inner + i] = values[offset + i * wide + part.column + o]!
    }
  }
  return result
}
