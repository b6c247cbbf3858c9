/**
 * Arguments and flags that several commands share.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import { deviceKinds } from "../device/device.ts"
import type { Setting } from "../pipeline/graph.ts"
import { RemotePolicy } from "../store/remote/remote.ts"

/** The file of a pipeline. */
export const pipeline = Argument.String("pipeline").pipe(
  Argument.withDescription("A TypeScript file whose default export is a pipeline")
)

const setting = (text: string): Setting => {
  const at = text.indexOf("=")
  if (at < 1) throw new Error("path=value, as in --set ppo.learningRate=1e-4")
  return { path: text.slice(0, at), value: text.slice(at + 1) }
}

/** Parameters of the pipeline, in the order given. */
export const set = Flag.String("set").pipe(
  Flag.withAlias("s"),
  Flag.withMetavar("path=value"),
  Flag.withDescription(
    "Sets a parameter of the pipeline, as in --set ppo.learningRate=1e-4; may be repeated, the last one wins"
  ),
  Flag.atLeast(0),
  Flag.mapTryCatch(
    (texts): ReadonlyArray<Setting> => texts.map(setting),
    (error) => (error as Error).message
  )
)

/** Which device computes. */
export const device = Flag.Literals("device", ["auto", ...deviceKinds]).pipe(
  Flag.withMetavar(`auto|${deviceKinds.join("|")}`),
  Flag.withDescription(
    "What stages that name no device compute on; auto takes the best there is: cuda, else cpu, else tfjs, which needs no C++ compiler (default auto)"
  ),
  Flag.withDefault("auto" as const)
)

/** Threads of the CPU device. */
export const threads = Flag.Int("threads").pipe(
  Flag.withMetavar("n"),
  Flag.withDescription("Threads of the CPU device; results do not depend on it (default: one for each core)"),
  Flag.filter(
    (n) => n >= 1,
    () => "a whole number from 1"
  ),
  Flag.optional
)

/** The port that a server listens on. */
export const port = (fallback: number) =>
  Flag.Int("port").pipe(
    Flag.withMetavar("n"),
    Flag.withDescription(`The port to listen on; 0: any that is free (default ${fallback})`),
    Flag.filter(
      (n) => n >= 0 && n < 65_536,
      () => "a whole number from 0 to 65535"
    ),
    Flag.withDefault(fallback)
  )

/** The folder of the store. */
export const store = Flag.String("store").pipe(
  Flag.withMetavar("folder"),
  Flag.withDescription("Where results and records are kept (default .ptmflow)"),
  Flag.withDefault(".ptmflow")
)

/** Where results are shared with other machines. */
export const remote = Flag.String("remote").pipe(
  Flag.withMetavar("folder|url"),
  Flag.withDescription(
    "A folder or an https address where machines share results: what one made the others reuse (default: the variable PTMFLOW_REMOTE; none)"
  ),
  Flag.optional
)

/** What becomes of a run whose remote fails it. */
export const remotePolicy = Flag.Literals("remote-policy", RemotePolicy.literals).pipe(
  Flag.withMetavar("policy"),
  Flag.withDescription(
    "normal: without the remote a run goes on, but a result that cannot be pushed fails it; required: both are errors; optional: both are warnings; read-only: nothing is pushed (default normal)"
  ),
  Flag.withDefault("normal" as const)
)

/** An earlier run that counts as the newest. */
export const asOf = Flag.String("as-of").pipe(
  Flag.withMetavar("run"),
  Flag.withDescription(
    "A run by its id, or the beginning of it, as status shows them: what was known then, as if no run had come after it"
  ),
  Flag.optional
)

/** JSON instead of text. */
export const json = (what: string) =>
  Flag.Boolean("json").pipe(Flag.withDescription(what), Flag.withDefault(false), Flag.withoutNegation)

/** What a person calls an artifact by. */
export const reference = (name: string, what: string) =>
  Argument.String(name).pipe(
    Argument.withDescription(
      `${what}: the first 6 or more digits of its digest, a stage of the newest run (sft, ppo.8), or a stage and its output (sft.checkpoint)`
    )
  )
