/** A small model of each family, for tests of what is the same for both. */
import type { ModelConfig } from "../../src/engine/model.ts"

export const families = (options: {
  readonly context: number
  readonly tied: boolean
}): Readonly<Record<string, ModelConfig>> => {
  const { context, tied } = options
  const shared = { layers: 2, heads: 4, width: 32, vocabulary: 37, context, scalarHead: false }
  return {
    gpt2: { family: "gpt2", ...shared },
    llama: {
      family: "llama",
      ...shared,
      keyHeads: 2,
      headWidth: 8,
      feedForward: 40,
      ropeTheta: 10_000,
      normEpsilon: 1e-5,
      tied
    }
  }
}
