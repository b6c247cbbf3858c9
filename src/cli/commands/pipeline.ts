/**
 * The commands on a pipeline: what runs it, and what says what a run would do.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as flags from "../flags.ts"
import { from } from "./from.ts"

/** What says which pipeline, how it is set, and where its results are. */
const ofPipeline = {
  pipeline: flags.pipeline,
  set: flags.set,
  device: flags.device,
  threads: flags.threads,
  store: flags.store,
  remote: flags.remote,
  remotePolicy: flags.remotePolicy
}

export const run = Command.make(
  "run",
  {
    ...ofPipeline,
    detach: Flag.Boolean("detach").pipe(
      Flag.withDescription("Runs in the background, and goes on when the terminal is closed: see attach and stop"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    openlineage: Flag.String("openlineage").pipe(
      Flag.withMetavar("url"),
      Flag.withDescription(
        "A service that OpenLineage events are sent to while it runs (default: the variable OPENLINEAGE_URL; none)"
      ),
      Flag.optional
    ),
    tensorboard: Flag.String("tensorboard").pipe(
      Flag.withMetavar("folder"),
      Flag.withDescription("Where metrics are written for TensorBoard while it runs, a folder for each stage"),
      Flag.optional
    ),
    otlp: Flag.String("otlp").pipe(
      Flag.withMetavar("url"),
      Flag.withDescription(
        "A collector that traces are sent to over OTLP/HTTP (default: the variable OTEL_EXPORTER_OTLP_ENDPOINT; none)"
      ),
      Flag.optional
    ),
    keepResumePoints: Flag.Int("keep-resume-points").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription(
        "Keeps up to n resume points of each training, evenly spread, so that verify --sample can begin in its midst (default 0)"
      ),
      Flag.filter(
        (n) => n >= 0,
        () => "a whole number from 0"
      ),
      Flag.withDefault(0)
    ),
    json: flags.json("Prints each event as one line of JSON, and nothing else, on standard output")
  },
  ({ detach, keepResumePoints, openlineage, otlp, tensorboard, ...typed }) => {
    const targets = { openlineage, otlp, tensorboard }
    const input = {
      ...typed,
      ...(keepResumePoints === 0 ? {} : { keepResumePoints }),
      ...(Object.values(targets).every(Option.isNone) ? {} : { targets })
    }
    return from(async () =>
      detach ? (await import("../detach.ts")).detach(input) : (await import("../run.ts")).run(input)
    )
  }
).pipe(
  Command.withShortDescription("Run a pipeline: reuse what is there, run the rest"),
  Command.withDescription(
    "Runs a pipeline. Stages whose result is in the store are reused; the rest run, and a stage that was killed goes on from its last resume point. " +
      "On a terminal it shows the graph, a line for each running stage, and the reports at the end; in a pipe it writes a log.\n\n" +
      "Exit code: 0 when the run succeeded, 1 when a stage failed or the pipeline could not be run, 130 after Ctrl-C."
  ),
  Command.withExamples([
    { command: "ptmflow run pipelines/chatgpt.ts" },
    { command: "ptmflow run pipelines/chatgpt.ts --set ppo.iterations=4 --set sft.epochs=3" },
    { command: "ptmflow run train.ts --json > events.jsonl" },
    {
      command: "ptmflow run train.ts --tensorboard runs",
      description: "curves while it runs: tensorboard --logdir runs"
    },
    { command: "ptmflow run train.ts --detach", description: "goes on when the terminal is closed" }
  ])
)

const detached = {
  run: Argument.String("run").pipe(
    Argument.withDescription("The first digits of its name; the newest where none is given"),
    Argument.withDefault("newest")
  ),
  store: flags.store
}

export const attach = Command.make(
  "attach",
  { ...detached, json: flags.json("Prints each event, from the first on, as one line of JSON") },
  (input) => from(async () => (await import("../attach.ts")).attach(input))
).pipe(
  Command.withShortDescription("Show a run that was started with --detach"),
  Command.withDescription(
    "Shows a detached run as if it ran here: what it did so far, what it does, and its outputs. Ctrl-C ends the showing, not the run.\n\n" +
      "Exit code: that of the run; 1 when its process was killed."
  ),
  Command.withExamples([{ command: "ptmflow attach" }])
)

export const stop = Command.make("stop", { ...detached, json: flags.json("Prints the run as JSON") }, (input) =>
  from(async () => (await import("../attach.ts")).stop(input))
).pipe(
  Command.withShortDescription("End a run that was started with --detach"),
  Command.withDescription("Ends a detached run as Ctrl-C does: what finished is kept, and so are its resume points.")
)

export const plan = Command.make(
  "plan",
  {
    ...ofPipeline,
    as: Flag.Literals("as", ["dot", "mermaid"]).pipe(
      Flag.optional,
      Flag.withDescription("Writes the graph, with what would become of each stage, for Graphviz or Mermaid")
    ),
    json: flags.json("Prints the plan as JSON")
  },
  (input) => from(async () => (await import("../plan.ts")).plan(input))
).pipe(
  Command.withShortDescription("Show what a run would do, and why, without running anything"),
  Command.withDescription(
    "Shows for each stage whether its result is there (✓), whether it runs (●), and whether it may be reused because a stage before it may give the same bytes again (○); what it took last time; and the reasons: " +
      "which parameter, code, package or input changed, from what to what, or the stage upstream that is the first cause. why and why-not go deeper.\n\n" +
      "Exit code: 0 when there is nothing to do, 2 when a stage runs or may run, 1 on an error."
  ),
  Command.withExamples([
    { command: "ptmflow plan pipelines/chatgpt.ts" },
    {
      command: "ptmflow plan pipelines/chatgpt.ts --set sft.epochs=3",
      description: "what a change of a parameter would cost"
    }
  ])
)

const ofStage = {
  ...ofPipeline,
  stage: Argument.String("stage").pipe(Argument.withDescription("A stage of it, as plan names it")),
  json: flags.json("Prints what is known as JSON")
}

export const why = Command.make("why", ofStage, (input) =>
  from(async () => (await import("../why.ts")).why(input))
).pipe(
  Command.withShortDescription("Say why a stage runs, may run or is reused"),
  Command.withDescription(
    "Says why a run would reuse a stage or not: the smallest parts of its key that changed, from what to what, the way from the first cause upstream, the result that it has or had last and why it ran then, and what its key is made of.\n\n" +
      "Exit code: 0 when the stage is reused, 2 when it runs or may run, 1 on an error."
  ),
  Command.withExamples([{ command: "ptmflow why pipelines/chatgpt.ts ppo.3 --set sft.epochs=3" }])
)

export const whyNot = Command.make("why-not", ofStage, (input) =>
  from(async () => (await import("../why.ts")).whyNot(input))
).pipe(
  Command.withShortDescription("Say what keeps a stage from being reused"),
  Command.withDescription(
    "Compares a stage that is not reused with the results in the store that are nearest to it, of any run and any pipeline, and says all that differs from each.\n\n" +
      "Exit code: 0 when the stage is reused, 2 when it runs or may run, 1 on an error."
  ),
  Command.withExamples([{ command: "ptmflow why-not pipelines/chatgpt.ts pretrain" }])
)

export const lint = Command.make(
  "lint",
  { pipeline: flags.pipeline, set: flags.set, store: flags.store, json: flags.json("Prints the findings as JSON") },
  (input) => from(async () => (await import("../lint.ts")).lint(input))
).pipe(
  Command.withShortDescription("Find what operators read that no stage key holds"),
  Command.withDescription(
    "Follows the code of each operator of a pipeline and lists, with file and line, where it reads what its stage keys do not hold: files, environment variables, the clock, random numbers without a seed, the network, the machine, other processes, code that is not known before. " +
      "plan and run refuse such a pipeline. Operators that declare sources may read files. What is in no result is declared on its line, or above it: // ptmflow-allow time: why\n\n" +
      "Exit code: 0 when there is none, 1 when there is one, or on an error."
  ),
  Command.withExamples([{ command: "ptmflow lint pipelines/chatgpt.ts" }])
)
