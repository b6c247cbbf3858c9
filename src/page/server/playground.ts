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
import { Device, type DeviceError } from "../../device/device.ts"
import { continueText } from "../../results/continuation.ts"
import { Store } from "../../store/store.ts"
import type { Sampled, SampleRequest } from "../answers.ts"
import { findArtifact } from "./artifact.ts"
import { PageError, wrong } from "./refusal.ts"

const sampling = Semaphore.makeUnsafe(1)

const answerTo = Effect.fnUntraced(function* (request: SampleRequest) {
  const { artifact, stage, port } = yield* findArtifact(request.checkpoint)
  if (artifact.kind !== "checkpoint") {
    return yield* wrong("checkpoint", `${stage}.${port} is a ${artifact.kind}, not a checkpoint`)
  }
  const started = yield* Clock.currentTimeMillis
  const { source } = yield* Store
  const checkpoint = yield* CheckpointPort.decode(artifact, source)
  const { prompt } = request
  const { completions, limit } = yield* continueText(checkpoint, prompt, request)
  const answer: Sampled = {
    checkpoint: artifact.digest,
    prompt,
    limit,
    seconds: ((yield* Clock.currentTimeMillis) - started) / 1000,
    completions: completions.map(({ ended, logProbabilities, text, tokens }) => ({
      text,
      ended,
      tokens: Array.from(tokens, (token, i) => ({
        text: checkpoint.tokenizer.decode([token], { keepSpecial: true }),
        logProbability: logProbabilities[i]!
      }))
    }))
  }
  return answer
})

/** Samples on the device that `open` gives, if nobody else does. */
export const sample = Effect.fnUntraced(function* (
  request: SampleRequest,
  open: Effect.Effect<Device["Service"], DeviceError>
): Effect.fn.Return<Sampled, unknown, Store> {
  const answer = yield* sampling.withPermitsIfAvailable(1)(Effect.provideServiceEffect(answerTo(request), Device, open))
  if (Option.isSome(answer)) return answer.value
  return yield* new PageError({
    status: 409,
    place: "playground",
    message: "another request is sampling",
    next: "Wait until it is done."
  })
})
