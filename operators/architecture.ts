/**
 * The architecture of a model that is trained from the start, as parameters.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { ModelConfig } from "../src/engine/model.ts"
import { Positive, PositiveInt, parameter } from "./parameter.ts"

const OrDefault = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Parameters of an architecture; those that say `llama` have no bearing on the other family. */
export const architectureParams = {
  family: parameter(
    Schema.Literals(["gpt2", "llama"]),
    "gpt2",
    "gpt2: learned positions, layernorm, GELU; llama: rotary positions, RMSNorm, SwiGLU, grouped-query attention"
  ),
  layers: parameter(PositiveInt, 4, "transformer blocks"),
  heads: parameter(PositiveInt, 4, "attention heads; must divide the width"),
  keyHeads: parameter(OrDefault, 0, "llama: key and value heads, which must divide the heads; 0: as many as heads"),
  width: parameter(PositiveInt, 128, "width of the residual stream"),
  feedForward: parameter(OrDefault, 0, "llama: width inside the MLP; 0: 8/3 of the width, up to a multiple of 32"),
  ropeTheta: parameter(Positive, 10_000, "llama: base of the rotary positions' wavelengths"),
  tied: parameter(Schema.Boolean, true, "whether the head's table is the token table"),
  context: parameter(PositiveInt, 128, "tokens a training window has, and the longest sequence the model can read")
}
const Architecture = Schema.Struct(architectureParams)

/** The configuration of a model for a vocabulary. */
export const configOf = (params: typeof Architecture.Type, vocabulary: number): ModelConfig => {
  const { context, family, heads, layers, tied, width } = params
  if (family === "gpt2") {
    const config = { family, layers, heads, width, vocabulary, context, scalarHead: false }
    return tied ? config : { ...config, tied }
  }
  return {
    family,
    layers,
    heads,
    keyHeads: params.keyHeads || heads,
    headWidth: Math.floor(width / heads),
    width,
    feedForward: params.feedForward || Math.ceil(width / 12) * 32,
    vocabulary,
    context,
    ropeTheta: params.ropeTheta,
    normEpsilon: 1e-5,
    tied,
    scalarHead: false
  }
}
