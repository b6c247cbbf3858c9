/**
 * Step 3: one PPO round of the policy on scored answers, against the frozen reference.
 *
 * Token rewards are -beta (log pi - log ref), the score at the last token; GAE; clipped policy and value losses; several epochs of minibatches; Adam.
 * Four operators, for what is given: a value head on the policy's trunk or a critic of its own, and pretraining text mixed in (PPO-ptx) or not. Optimizers, the
 * KL coefficient and the history of scores go from round to round with the checkpoints. `experience` is what the round learned from, token by token.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import { Experience, ScoredCompletion } from "./answers.ts"
import { CheckpointPort } from "./checkpoint.ts"
import { PpoParams } from "./ppo/params.ts"
import { update } from "./ppo/update.ts"
import { TokenSequence } from "./rows.ts"

const scored = Table.of(ScoredCompletion)
const pretraining = Table.of(TokenSequence)
const experience = Table.of(Experience)

/** Value head on the policy's trunk (Ziegler et al. 2019). */
export const ppo = Operator.make("ppo", {
  description: "One PPO round of a policy on scored answers, value head on its trunk",
  params: PpoParams,
  inputs: { policy: CheckpointPort, scored },
  outputs: { policy: CheckpointPort, experience },
  usesDevice: true,
  run: ({ inputs, params }) =>
    Effect.map(update("ppo", inputs, params), ({ experience, policy }) => ({ policy, experience }))
})

/** The same with the gradient of the language-model loss on pretraining text added to each update (PPO-ptx, Ouyang et al. 2022, eq. 2). */
export const ppoPtx = Operator.make("ppo-ptx", {
  description: "One PPO round with pretraining gradients mixed in",
  params: PpoParams,
  inputs: { policy: CheckpointPort, scored, pretraining },
  outputs: { policy: CheckpointPort, experience },
  usesDevice: true,
  run: ({ inputs, params }) =>
    Effect.map(update("ppo-ptx", inputs, params), ({ experience, policy }) => ({ policy, experience }))
})

/** A critic of its own; in the first round it is the reward model (Stiennon et al. 2020). */
export const ppoCritic = Operator.make("ppo-critic", {
  description: "One PPO round of a policy and a separate critic on scored answers",
  params: PpoParams,
  inputs: { policy: CheckpointPort, critic: CheckpointPort, scored },
  outputs: { policy: CheckpointPort, critic: CheckpointPort, experience },
  usesDevice: true,
  run: ({ inputs, params }) =>
    Effect.map(update("ppo-critic", inputs, params), ({ critic, experience, policy }) => ({
      policy,
      critic: critic!,
      experience
    }))
})

/** A critic of its own and pretraining gradients: InstructGPT's. */
export const ppoCriticPtx = Operator.make("ppo-critic-ptx", {
  description: "One PPO round of a policy and a separate critic with pretraining gradients mixed in",
  params: PpoParams,
  inputs: { policy: CheckpointPort, critic: CheckpointPort, scored, pretraining },
  outputs: { policy: CheckpointPort, critic: CheckpointPort, experience },
  usesDevice: true,
  run: ({ inputs, params }) =>
    Effect.map(update("ppo-critic-ptx", inputs, params), ({ critic, experience, policy }) => ({
      policy,
      critic: critic!,
      experience
    }))
})
