/**
 * The commands: their arguments, their help, and where each one's code is loaded from when it is called.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { attach, lint, plan, run, stop, why, whyNot } from "./commands/pipeline.ts"
import { seen, verify } from "./commands/proof.ts"
import { diff, exportFiles, generate, lineage, serve, show, status } from "./commands/result.ts"
import { doctor, fsck, gc, init, pin, reindex, serveRemote } from "./commands/store.ts"

const switchFlag = (name: string, description: string) =>
  GlobalFlag.Setting(name)({
    flag: Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false), Flag.withoutNegation)
  })

/** Read from the arguments before they are parsed, for they hold for errors of parsing too. */
export const noColor = switchFlag("no-color", "No colours; the variable NO_COLOR does the same")
export const debug = switchFlag("debug", "Shows the stack of an error")

/** `ptmflow` with all its commands. */
export const ptmflow = Command.make("ptmflow").pipe(
  Command.withSubcommands([
    run,
    attach,
    stop,
    plan,
    why,
    whyNot,
    lint,
    status,
    lineage,
    diff,
    verify,
    seen,
    generate,
    show,
    exportFiles,
    gc,
    pin,
    fsck,
    reindex,
    serve,
    serveRemote,
    doctor,
    init
  ]),
  Command.withGlobalFlags([noColor, debug]),
  Command.withDescription(
    "Write the training of a pre-trained model as a typed dataflow, and run it: cached, resumable, with lineage."
  ),
  Command.withExamples([
    { command: "ptmflow run pipelines/chatgpt.ts", description: "run a pipeline; again, and nothing is left to do" },
    {
      command: "ptmflow plan pipelines/chatgpt.ts --set sft.epochs=3",
      description: "what a change would rerun, and why"
    },
    { command: "ptmflow lineage ppo.12", description: "what a checkpoint came from" },
    { command: 'ptmflow generate ppo.12 --prompt "The sea was"', description: "let it continue a text" }
  ])
)
