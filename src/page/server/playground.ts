/**
 * The playground: samples continuations from a checkpoint, one request at a time.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { CheckpointPort } from "../../../operators/checkpoint.ts"
import { encoding } from "../../../operators/tokenizer/encoding.ts"
import { Device, type DeviceError } from "../../device/device.ts"
import { generate } from "../../engine/generate.ts"
import * as Session from "../../engine/session.ts"
import { Store } from "../../store/store.ts"
import type { Sampled, SampleRequest } from "../answers.ts"
import { findArtifact } from "./artifact.ts"
import { PageError, wrong } from "./refusal.ts"

const sampling = Semaphore.makeUnsafe(1)

const continueText = Effect.fnUntraced(function* (request: SampleRequest) {
  const { artifact, stage, port } = yield* findArtifact(request.checkpoint)
  if (artifact.kind !== "checkpoint") {
    return yield* wrong("checkpoint", `${stage}.${port} is a ${artifact.kind}, not a checkpoint`)
  }
  const started = yield* Clock.currentTimeMillis
  const { source } = yield* Store
  const { tokenizer, weights } = yield* CheckpointPort.decode(artifact, source)
  const endToken = tokenizer.special.endOfText
  const encoded = yield* encoding("playground", "prompt", () => tokenizer.encode(request.prompt))
  // Documents follow an end token in training, so an empty prompt is the start of one.
  const prompt = encoded.length === 0 ? Int32Array.of(endToken) : encoded
  const limit = Math.min(request.tokens, weights.config.context - prompt.length)
  if (limit < 1) {
    return yield* wrong(
      "prompt",
      `the prompt has ${prompt.length} tokens and the model reads ${weights.config.context}: there is no room for an answer`,
      "Shorten the prompt."
    )
  }
  const session = yield* Session.make(weights)
  const { count, seed, temperature, topK, topP } = request
  const requests = Array.from({ length: count }, (_, index) => ({ prompt, key: [seed | 0, index] as const, limit }))
  const completions = yield* generate(session, requests, { temperature, topK, topP, endToken })
  const answer: Sampled = {
    checkpoint: artifact.digest,
    prompt: request.prompt,
    limit,
    seconds: ((yield* Clock.currentTimeMillis) - started) / 1000,
    completions: completions.map(({ logProbabilities, tokens }) => {
      const ended = tokens.at(-1) === endToken
      return {
        text: tokenizer.decode(ended ? tokens.subarray(0, -1) : tokens),
        ended,
        tokens: Array.from(tokens, (token, i) => ({
          text: tokenizer.decode([token], { keepSpecial: true }),
          logProbability: logProbabilities[i]!
        }))
      }
    })
  }
  return answer
}, Effect.scoped)

/** Samples on the device that `open` gives, if nobody else does. */
export const sample = Effect.fnUntraced(function* (
  request: SampleRequest,
  open: Effect.Effect<Device["Service"], DeviceError>
): Effect.fn.Return<Sampled, unknown, Store> {
  const answer = yield* sampling.withPermitsIfAvailable(1)(
    Effect.provideServiceEffect(continueText(request), Device, open)
  )
  if (Option.isSome(answer)) return answer.value
  return yield* new PageError({
    status: 409,
    place: "playground",
    message: "another request is sampling",
    next: "Wait until it is done."
  })
})
