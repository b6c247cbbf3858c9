/**
 * What a PPO update can be told, and published recipes to start from.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { adapterParams } from "../adapter.ts"
import { NonNegative, Positive, PositiveInt, Precision, parameter, Share } from "../parameter.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Parameters of one PPO round. The defaults are `recipes["openai-2019"].ppo`, with a learning rate that stays. */
export const PpoParams = Schema.Struct({
  epochs: parameter(PositiveInt, 4, "passes over the answers, each in a new order"),
  minibatch: parameter(Count, 0, "answers an update; 0: all of them"),
  microBatch: parameter(PositiveInt, 64, "answers computed at once; an update adds up as many as it needs"),
  learningRate: parameter(Positive, 1e-5, "learning rate"),
  criticLearningRate: parameter(NonNegative, 0, "of a separate critic; 0: the policy's"),
  annealRounds: parameter(Count, 0, "rounds after which the learning rate has fallen in a line to 0; 0: it stays"),
  adamForm: parameter(
    Schema.Literals(["tensorflow", "pytorch"]),
    "tensorflow",
    "where Adam's epsilon is: before the bias correction or after it"
  ),
  adamEpsilon: parameter(Positive, 1e-5, "Adam's epsilon"),
  beta2: parameter(Share, 0.999, "Adam's decay of the second moment"),
  maxNorm: parameter(NonNegative, 0, "global norm that gradients are scaled down to; 0: never"),
  clip: parameter(NonNegative, 0.2, "of the probability ratio"),
  valueClip: parameter(NonNegative, 0.2, "of the change of a value"),
  valueCoefficient: parameter(NonNegative, 0.1, "weight of the value loss"),
  entropyCoefficient: parameter(NonNegative, 0, "weight of the entropy bonus"),
  gamma: parameter(Share, 1, "discount a token"),
  lambda: parameter(Share, 0.95, "of generalised advantage estimation"),
  rewardScale: parameter(
    Schema.Literals(["none", "first", "running"]),
    "none",
    "what scores are divided by: their standard deviation in the first round, or over all rounds so far"
  ),
  rewardClip: parameter(NonNegative, 0, "scores are cut to this size either way, after scaling; 0: never"),
  whitenRewards: parameter(
    Schema.Boolean,
    true,
    "whether token rewards are scaled to standard deviation 1; the mean stays"
  ),
  whitenAdvantages: parameter(Schema.Boolean, true, "whether advantages are shifted to mean 0 and scaled to 1"),
  whitenOver: parameter(Schema.Literals(["minibatch", "batch"]), "minibatch", "the answers that are whitened together"),
  whitenDdof: parameter(Schema.Literals([0, 1]), 0, "what the variance's divisor is less than the number of tokens"),
  klCoefficient: parameter(NonNegative, 0.15, "beta of the first round: reward lost per nat of KL from the reference"),
  klTarget: parameter(NonNegative, 6, "nats an answer that the adaptive coefficient aims at; 0 keeps beta fixed"),
  klHorizon: parameter(Positive, 10000, "answers over which beta adapts"),
  stopAtKl: parameter(
    NonNegative,
    0,
    "approximate KL a token from the rollout's policy at which the round ends without that update; 0: never"
  ),
  averageDecay: parameter(
    Share,
    0,
    "decay of the policy's moving average, kept beside its weights (see the operator averaged); 0: none"
  ),
  ptxCoefficient: parameter(NonNegative, 27.8, "weight of the pretraining loss, where pretraining text is given"),
  ptxWindows: parameter(PositiveInt, 16, "windows of pretraining text an update"),
  precision: Precision,
  ...adapterParams,
  seed: parameter(Schema.Int, 1, "of the order of the answers, of the pretraining windows and of fresh adapters")
})
export type PpoParams = typeof PpoParams.Type

const openai = {
  reward: { epochs: 1, batch: 32, learningRate: 5e-5, warmup: 0, normaliseBefore: true },
  rollout: { temperature: 0.7, topK: 0, topP: 1 },
  score: { missingEndScore: -1, missingEndPenalty: 0 },
  ppo: {
    epochs: 4,
    minibatch: 0,
    learningRate: 1e-5,
    adamForm: "tensorflow",
    adamEpsilon: 1e-5,
    beta2: 0.999,
    maxNorm: 0,
    clip: 0.2,
    valueClip: 0.2,
    valueCoefficient: 0.1,
    entropyCoefficient: 0,
    gamma: 1,
    lambda: 0.95,
    rewardScale: "none",
    rewardClip: 0,
    whitenRewards: true,
    whitenAdvantages: true,
    whitenOver: "minibatch",
    whitenDdof: 0,
    klCoefficient: 0.15,
    klTarget: 6,
    klHorizon: 10000,
    stopAtKl: 0,
    averageDecay: 0
  }
} as const

const details = {
  ...openai,
  reward: { epochs: 1, learningRate: 3e-6, warmup: 0, normaliseBefore: false },
  ppo: {
    ...openai.ppo,
    learningRate: 3e-6,
    adamForm: "pytorch",
    whitenRewards: false,
    whitenOver: "batch",
    whitenDdof: 1,
    klCoefficient: 0.05,
    klTarget: 0
  }
} as const

/**
 * Published recipes, as parameters of `trainReward` (TRL's PPO takes a model as it is), `rollout`, `score` and PPO: `{ ...recipes.trl.ppo, minibatch: 64 }`. All but the first have a separate critic that
 * starts from the reward model (`ppoCritic`). What depends on a run's length, batch or text (answers a round, `annealRounds`, `maximumTokens`) is not in them.
 *
 * - `openai-2019`: Ziegler et al. 2019, the sentiment task of openai/lm-human-preferences (512 answers a round, rate falling to 0).
 * - `n-implementation-details`: Huang et al. 2024, summarize_from_feedback_details (512 answers a round, rate falling to 0).
 * - `trl`: TRL's PPOTrainer of 2026 (512 answers a round, rate falling to 0).
 * - `instructgpt`: Ouyang et al. 2022, with pretraining gradients mixed in (`ppoCriticPtx`; 512 answers a round); what the paper does not say is as in
 *   `openai-2019`. The final policy is `averaged`.
 */
export const recipes = {
  "openai-2019": openai,
  "n-implementation-details": details,
  trl: {
    rollout: details.rollout,
    score: { missingEndScore: null, missingEndPenalty: 1 },
    ppo: { ...details.ppo, adamEpsilon: 1e-8 }
  },
  instructgpt: {
    reward: { epochs: 1, batch: 64, normaliseBefore: false },
    rollout: { temperature: 1, topK: 0, topP: 1 },
    score: { missingEndScore: null, missingEndPenalty: 0 },
    ppo: {
      ...openai.ppo,
      epochs: 1,
      minibatch: 64,
      learningRate: 9.65e-6,
      beta2: 0.95,
      klCoefficient: 0.02,
      klTarget: 0,
      ptxCoefficient: 27.8,
      averageDecay: 0.992
    }
  }
} as const
