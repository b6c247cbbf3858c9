/**
 * The commands: their arguments, their help, and where each one's code is loaded from when it is called.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as flags from "./flags.ts"

const from = <A, E, R>(load: () => Promise<Effect.Effect<A, E, R>>) => Effect.flatten(Effect.promise(load))

const run = Command.make(
  "run",
  {
    pipeline: flags.pipeline,
    set: flags.set,
    device: flags.device,
    threads: flags.threads,
    store: flags.store,
    remote: flags.remote,
    remotePolicy: flags.remotePolicy,
    detach: Flag.Boolean("detach").pipe(
      Flag.withDescription("Runs in the background, and goes on when the terminal is closed: see attach and stop"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    json: flags.json("Prints each event as one line of JSON, and nothing else, on standard output")
  },
  ({ detach, ...input }) =>
    from(async () => (detach ? (await import("./detach.ts")).detach(input) : (await import("./run.ts")).run(input)))
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

const attach = Command.make(
  "attach",
  { ...detached, json: flags.json("Prints each event, from the first on, as one line of JSON") },
  (input) => from(async () => (await import("./attach.ts")).attach(input))
).pipe(
  Command.withShortDescription("Show a run that was started with --detach"),
  Command.withDescription(
    "Shows a detached run as if it ran here: what it did so far, what it does, and its outputs. Ctrl-C ends the showing, not the run.\n\n" +
      "Exit code: that of the run; 1 when its process was killed."
  ),
  Command.withExamples([{ command: "ptmflow attach" }])
)

const stop = Command.make("stop", { ...detached, json: flags.json("Prints the run as JSON") }, (input) =>
  from(async () => (await import("./attach.ts")).stop(input))
).pipe(
  Command.withShortDescription("End a run that was started with --detach"),
  Command.withDescription("Ends a detached run as Ctrl-C does: what finished is kept, and so are its resume points.")
)

const plan = Command.make(
  "plan",
  {
    pipeline: flags.pipeline,
    set: flags.set,
    device: flags.device,
    threads: flags.threads,
    store: flags.store,
    remote: flags.remote,
    remotePolicy: flags.remotePolicy,
    as: Flag.Literals("as", ["dot", "mermaid"]).pipe(
      Flag.optional,
      Flag.withDescription("Writes the graph, with what would become of each stage, for Graphviz or Mermaid")
    ),
    json: flags.json("Prints the plan as JSON")
  },
  (input) => from(async () => (await import("./plan.ts")).plan(input))
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
  pipeline: flags.pipeline,
  stage: Argument.String("stage").pipe(Argument.withDescription("A stage of it, as plan names it")),
  set: flags.set,
  device: flags.device,
  threads: flags.threads,
  store: flags.store,
  remote: flags.remote,
  remotePolicy: flags.remotePolicy,
  json: flags.json("Prints what is known as JSON")
}

const why = Command.make("why", ofStage, (input) => from(async () => (await import("./why.ts")).why(input))).pipe(
  Command.withShortDescription("Say why a stage runs, may run or is reused"),
  Command.withDescription(
    "Says why a run would reuse a stage or not: the smallest parts of its key that changed, from what to what, the way from the first cause upstream, the result that it has or had last and why it ran then, and what its key is made of.\n\n" +
      "Exit code: 0 when the stage is reused, 2 when it runs or may run, 1 on an error."
  ),
  Command.withExamples([{ command: "ptmflow why pipelines/chatgpt.ts ppo.3 --set sft.epochs=3" }])
)

const whyNot = Command.make("why-not", ofStage, (input) =>
  from(async () => (await import("./why.ts")).whyNot(input))
).pipe(
  Command.withShortDescription("Say what keeps a stage from being reused"),
  Command.withDescription(
    "Compares a stage that is not reused with the results in the store that are nearest to it, of any run and any pipeline, and says all that differs from each.\n\n" +
      "Exit code: 0 when the stage is reused, 2 when it runs or may run, 1 on an error."
  ),
  Command.withExamples([{ command: "ptmflow why-not pipelines/chatgpt.ts pretrain" }])
)

const lint = Command.make(
  "lint",
  { pipeline: flags.pipeline, set: flags.set, store: flags.store, json: flags.json("Prints the findings as JSON") },
  (input) => from(async () => (await import("./lint.ts")).lint(input))
).pipe(
  Command.withShortDescription("Find what operators read that no stage key holds"),
  Command.withDescription(
    "Follows the code of each operator of a pipeline and lists, with file and line, where it reads what its stage keys do not hold: files, environment variables, the clock, random numbers without a seed, the network, the machine, other processes, code that is not known before. " +
      "plan and run refuse such a pipeline. Operators that declare sources may read files. What is in no result is declared on its line, or above it: // ptmflow-allow time: why\n\n" +
      "Exit code: 0 when there is none, 1 when there is one, or on an error."
  ),
  Command.withExamples([{ command: "ptmflow lint pipelines/chatgpt.ts" }])
)

const status = Command.make(
  "status",
  { asOf: flags.asOf, store: flags.store, json: flags.json("Prints the runs as JSON") },
  (input) => from(async () => (await import("./status.ts")).status(input))
).pipe(
  Command.withShortDescription("Show the newest run and its stages"),
  Command.withDescription(
    "Shows the newest run in the store: when it was, what was set, and what became of each stage; and the runs before it in short."
  )
)

const lineage = Command.make(
  "lineage",
  {
    artifact: flags.reference("checkpoint", "A checkpoint, or any other artifact"),
    down: Flag.Boolean("down").pipe(
      Flag.withDescription("Shows what came from it instead"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    as: Flag.Literals("as", ["dot", "mermaid", "in-toto"]).pipe(
      Flag.optional,
      Flag.withDescription(
        "Writes the tree for Graphviz or Mermaid, or where the artifact itself comes from as an in-toto statement"
      )
    ),
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints every artifact of the tree, each once, as JSON")
  },
  (input) => from(async () => (await import("./lineage.ts")).lineage(input))
).pipe(
  Command.withShortDescription("Show what a checkpoint came from, back to the corpus"),
  Command.withDescription(
    "Shows what an artifact came from as a tree: each stage with its operator, parameters, metrics, time and the digest of its result, down to the files that were read. " +
      "What several stages used is shown once, and the earlier rounds of a loop are one line (name one, as in ppo.3, to see it)."
  ),
  Command.withExamples([
    { command: "ptmflow lineage ppo.12" },
    { command: "ptmflow lineage 3f9a2c1d" },
    { command: "ptmflow lineage sft.checkpoint --json | jq '.nodes[] | {stage, params}'" },
    { command: "ptmflow lineage pretrain.checkpoint --down", description: "what came from it" }
  ])
)

const diff = Command.make(
  "diff",
  {
    first: flags.reference("first", "An artifact"),
    second: flags.reference("second", "Another"),
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints the differences as JSON")
  },
  (input) => from(async () => (await import("./diff.ts")).diff(input))
).pipe(
  Command.withShortDescription("Show how two checkpoints differ"),
  Command.withDescription(
    "Compares two artifacts and shows the fewest differences upstream that explain why they are not the same: parameters, code, packages, files. Metrics are shown beside each other. " +
      "With --as-of the first is looked for as of that run, so that a result is compared with what it was before.\n\n" +
      "Exit code: 0 when they are the same, 2 when they differ, 1 on an error."
  ),
  Command.withExamples([
    { command: "ptmflow diff 3f9a2c1d ppo.12" },
    { command: "ptmflow diff policy policy --as-of 2026-11-24T05-54-44", description: "the policy then, and now" }
  ])
)

const generate = Command.make(
  "generate",
  {
    checkpoint: flags.reference("checkpoint", "The checkpoint"),
    prompt: Flag.String("prompt").pipe(
      Flag.withAlias("p"),
      Flag.withMetavar("text"),
      Flag.withDescription("The text to continue")
    ),
    tokens: Flag.Int("tokens").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Tokens to generate at most; fewer when the model ends its answer (default 64)"),
      Flag.withDefault(64)
    ),
    temperature: Flag.Finite("temperature").pipe(
      Flag.withMetavar("t"),
      Flag.withDescription("Of the softmax: below 1 is more careful, 0 takes the likeliest token (default 1)"),
      Flag.withDefault(1)
    ),
    topK: Flag.Int("top-k").pipe(
      Flag.withMetavar("k"),
      Flag.withDescription("Draws from the k likeliest tokens only; 0: from all (default 0)"),
      Flag.withDefault(0)
    ),
    topP: Flag.Finite("top-p").pipe(
      Flag.withMetavar("p"),
      Flag.withDescription("Draws from the likeliest tokens that together have this probability (default 1)"),
      Flag.withDefault(1)
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Of the draws: the same seed gives the same text (default 1)"),
      Flag.withDefault(1)
    ),
    count: Flag.Int("count").pipe(
      Flag.withAlias("n"),
      Flag.withMetavar("n"),
      Flag.withDescription("Continuations (default 1)"),
      Flag.withDefault(1)
    ),
    device: flags.device,
    threads: flags.threads,
    store: flags.store,
    json: flags.json("Prints the prompt and its continuations, with their tokens and log-probabilities, as JSON")
  },
  (input) => from(async () => (await import("./generate.ts")).generate(input))
).pipe(
  Command.withShortDescription("Let a checkpoint continue a text"),
  Command.withDescription("Samples continuations of a prompt from a checkpoint."),
  Command.withExamples([
    { command: 'ptmflow generate ppo.12 --prompt "The sea was"' },
    { command: 'ptmflow generate pretrain --prompt "Call me" --top-k 40 --count 3' }
  ])
)

const doctor = Command.make(
  "doctor",
  { store: flags.store, threads: flags.threads, json: flags.json("Prints the findings as JSON") },
  (input) => from(async () => (await import("./doctor.ts")).doctor(input))
).pipe(
  Command.withShortDescription("Check this machine: Node, compiler, devices, store"),
  Command.withDescription(
    "Checks what ptmflow needs on this machine, and says for each problem what to do.\n\nExit code: 0 when nothing needed is missing, else 1."
  )
)

const show = Command.make(
  "show",
  {
    artifact: flags.reference("artifact", "An artifact"),
    rows: Flag.Int("rows").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Rows of a table to show (default 10)"),
      Flag.withDefault(10)
    ),
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints the artifact's reference as JSON; of a table, its first rows, one a line")
  },
  (input) => from(async () => (await import("./show.ts")).show(input))
).pipe(
  Command.withShortDescription("Show an artifact: a report, the head of a table, a checkpoint's configuration"),
  Command.withDescription(
    "Shows an artifact: a report in full, the first rows of a table, the configuration and size of a checkpoint."
  )
)

const exportFiles = Command.make(
  "export",
  {
    artifact: flags.reference("artifact", "An artifact"),
    folder: Argument.String("folder").pipe(Argument.withDescription("The folder to make: new, or empty")),
    store: flags.store,
    json: flags.json("Prints the names and sizes of the files as JSON")
  },
  (input) => from(async () => (await import("./export.ts")).exportFiles(input))
).pipe(
  Command.withShortDescription("Write an artifact's files into a folder"),
  Command.withDescription(
    "Copies the files of an artifact into a folder: of an export-checkpoint stage, what Hugging Face's transformers loads."
  ),
  Command.withExamples([{ command: "ptmflow export export-checkpoint models/mine" }])
)

const seconds: { readonly [unit: string]: number } = { s: 1, m: 60, h: 3600, d: 86400 }

const gc = Command.make(
  "gc",
  {
    keep: Flag.Int("keep").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription(
        "Runs of each pipeline that are kept, newest first: n that succeeded and n that did not (default 10)"
      ),
      Flag.filter(
        (n) => n >= 0,
        () => "a whole number from 0"
      ),
      Flag.withDefault(10)
    ),
    grace: Flag.String("grace").pipe(
      Flag.withMetavar("time"),
      Flag.withDescription("Nothing that is younger is removed, as in 90s, 30m, 1h, 7d (default 1h)"),
      Flag.withDefault("1h"),
      Flag.mapTryCatch(
        (text) => {
          const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? []
          if (number === undefined) throw new Error("a number and a unit, as in 30m: s, m, h or d")
          return Number(number) * seconds[unit!]! * 1000
        },
        (error) => (error as Error).message
      )
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Removes nothing, and says what would be removed"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    store: flags.store,
    json: flags.json("Prints what was removed as JSON")
  },
  (input) => from(async () => (await import("./collect.ts")).gc(input))
).pipe(
  Command.withShortDescription("Remove results that no kept run has"),
  Command.withDescription(
    "Keeps all results of the runs that are pinned, that are going on, and that are the newest of their pipeline; removes the others, and what was left behind. " +
      "Records are kept, so lineage is not lost, and what was removed is made again when it is needed."
  ),
  Command.withExamples([
    { command: "ptmflow gc --dry-run", description: "what would go" },
    { command: "ptmflow gc --keep 2 --grace 1d" }
  ])
)

const pin = Command.make(
  "pin",
  {
    run: Argument.String("run").pipe(
      Argument.withDescription("The first digits of a run's name, as status shows it, or: newest")
    ),
    remove: Flag.Boolean("remove").pipe(
      Flag.withDescription("Takes the pin away"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    store: flags.store,
    json: flags.json("Prints the run as JSON")
  },
  (input) => from(async () => (await import("./collect.ts")).pin(input))
).pipe(
  Command.withShortDescription("Keep all results of a run, whatever gc is told"),
  Command.withExamples([{ command: "ptmflow pin newest" }, { command: "ptmflow pin 2026-11-24T05-54-44 --remove" }])
)

const fsck = Command.make(
  "fsck",
  {
    repair: Flag.Boolean("repair").pipe(
      Flag.withDescription(
        "Puts damaged files aside, so that the stages that gave them run again, and removes leftovers"
      ),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    quick: Flag.Boolean("quick").pipe(
      Flag.withDescription("Looks at names and sizes only, and reads no result"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    store: flags.store,
    json: flags.json("Prints what was found as JSON")
  },
  (input) => from(async () => (await import("./fsck.ts")).fsck(input))
).pipe(
  Command.withShortDescription("Check that all results in the store are there and whole"),
  Command.withDescription(
    "Reads every result and compares it with its digest, and checks records, resume points and leases.\n\n" +
      "Exit code: 0 when there is no damage, or all of it was repaired, else 1."
  )
)

const reindex = Command.make(
  "reindex",
  { store: flags.store, json: flags.json("Prints the number of stages as JSON") },
  (input) => from(async () => (await import("./reindex.ts")).reindex(input))
).pipe(
  Command.withShortDescription("Make the ledger anew from the journal"),
  Command.withDescription(
    "Makes the index that answers questions of lineage anew from the records. It is kept up to date by itself: this is for when it is doubted."
  )
)

const serve = Command.make(
  "serve",
  {
    host: Flag.String("host").pipe(
      Flag.withDescription(
        "The address to listen on; any but this machine's own needs a token, which is made and printed (default 127.0.0.1)"
      ),
      Flag.withDefault("127.0.0.1")
    ),
    port: Flag.Int("port").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("The port to listen on; 0: any that is free (default 4860)"),
      Flag.withDefault(4860)
    ),
    device: flags.device,
    threads: flags.threads,
    store: flags.store,
    json: flags.json("Prints the address and the token as JSON")
  },
  (input) => from(async () => (await import("./serve.ts")).serve(input))
).pipe(
  Command.withShortDescription("Serve a page to look at runs, curves, lineage and tables"),
  Command.withDescription(
    "Serves a page until it is stopped: the graph of a run and its curves while they happen, runs side by side, the lineage of a checkpoint, the differences of two, the rows of tables, rollouts token by token, and a playground that samples. " +
      "It looks and samples; it changes nothing in the store. It speaks no TLS: across machines put a proxy that does before it."
  ),
  Command.withExamples([{ command: "ptmflow serve" }, { command: "ptmflow serve --store runs/a --port 0" }])
)

const serveRemote = Command.make(
  "serve-remote",
  {
    folder: Argument.String("folder").pipe(Argument.withDescription("Where the results are kept")),
    host: Flag.String("host").pipe(
      Flag.withDescription(
        "The address to listen on; any but the default needs PTMFLOW_REMOTE_TOKEN (default 127.0.0.1)"
      ),
      Flag.withDefault("127.0.0.1")
    ),
    port: Flag.Int("port").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("The port to listen on; 0: any that is free (default 4850)"),
      Flag.withDefault(4850)
    ),
    json: flags.json("Prints the address as JSON")
  },
  (input) => from(async () => (await import("./remote.ts")).serve(input))
).pipe(
  Command.withShortDescription("Serve a folder as a remote that machines share results in"),
  Command.withDescription(
    "Serves a folder over HTTP until it is stopped: GET, HEAD and PUT of results, each checked against its digest, to whoever has the token in PTMFLOW_REMOTE_TOKEN. " +
      "It speaks no TLS: across machines put a proxy that does before it."
  ),
  Command.withExamples([
    { command: "ptmflow serve-remote /srv/ptmflow" },
    { command: "ptmflow run train.ts --remote http://127.0.0.1:4850" }
  ])
)

const init = Command.make(
  "init",
  {
    folder: Argument.String("folder").pipe(
      Argument.withDescription("Where the project is made: a new folder, or one with none of its files (default .)"),
      Argument.withDefault(".")
    ),
    json: flags.json("Prints the folder and the names of its files as JSON")
  },
  (input) => from(async () => (await import("./init.ts")).init(input))
).pipe(
  Command.withShortDescription("Write a new project that runs at once"),
  Command.withDescription(
    "Writes a project: package.json, tsconfig.json, a pipeline, an operator of its own, a small text, a test, a README. npm install and npm start run it. " +
      "Nothing is replaced: where a file is in the way, it is named and nothing is written."
  ),
  Command.withExamples([{ command: "ptmflow init my-model" }])
)

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
