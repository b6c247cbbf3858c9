/**
 * The commands on what runs have made.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as flags from "../flags.ts"
import { from } from "./from.ts"

export const status = Command.make(
  "status",
  { asOf: flags.asOf, store: flags.store, json: flags.json("Prints the runs as JSON") },
  (input) => from(async () => (await import("../status.ts")).status(input))
).pipe(
  Command.withShortDescription("Show the newest run and its stages"),
  Command.withDescription(
    "Shows the newest run in the store: when it was, what was set, and what became of each stage; and the runs before it in short."
  )
)

export const lineage = Command.make(
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
  (input) => from(async () => (await import("../lineage.ts")).lineage(input))
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

export const diff = Command.make(
  "diff",
  {
    first: flags.reference("first", "An artifact"),
    second: flags.reference("second", "Another"),
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints the differences as JSON")
  },
  (input) => from(async () => (await import("../diff.ts")).diff(input))
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

export const generate = Command.make(
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
  (input) => from(async () => (await import("../generate.ts")).generate(input))
).pipe(
  Command.withShortDescription("Let a checkpoint continue a text"),
  Command.withDescription("Samples continuations of a prompt from a checkpoint."),
  Command.withExamples([
    { command: 'ptmflow generate ppo.12 --prompt "The sea was"' },
    { command: 'ptmflow generate pretrain --prompt "Call me" --top-k 40 --count 3' }
  ])
)

export const show = Command.make(
  "show",
  {
    artifact: flags.reference("artifact", "An artifact"),
    rows: Flag.Int("rows").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Rows of a table to show (default 10)"),
      Flag.filter(
        (n) => n >= 0,
        () => "a whole number from 0"
      ),
      Flag.withDefault(10)
    ),
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints the artifact's reference as JSON; of a table, its first rows, one a line")
  },
  (input) => from(async () => (await import("../show.ts")).show(input))
).pipe(
  Command.withShortDescription("Show an artifact: a report, the head of a table, a checkpoint's configuration"),
  Command.withDescription(
    "Shows an artifact: a report in full, the first rows of a table, the configuration and size of a checkpoint."
  )
)

export const exportFiles = Command.make(
  "export",
  {
    what: Argument.String("what").pipe(
      Argument.withDescription(
        "An artifact: the first 6 or more digits of its digest, a stage of the newest run (sft, ppo.8), or a stage and its output; with --as a run: the beginning of its name, or newest"
      )
    ),
    to: Argument.String("to").pipe(
      Argument.withDescription(
        "The folder to make: new, or empty; with --as openlineage a file, or the address of a service (default: standard output)"
      ),
      Argument.optional
    ),
    as: Flag.Literals("as", ["openlineage", "ro-crate", "tensorboard"]).pipe(
      Flag.optional,
      Flag.withDescription(
        "Writes a run: its OpenLineage events as JSON lines, a Workflow Run RO-Crate, or its metrics for TensorBoard"
      )
    ),
    data: Flag.Boolean("data").pipe(
      Flag.withDescription("Copies the results into a crate; --no-data only names them (default: copied)"),
      Flag.withDefault(true)
    ),
    agent: Flag.String("agent").pipe(
      Flag.withMetavar("name|orcid"),
      Flag.withDescription(
        "Who ran it, for a crate: a name, or an address such as https://orcid.org/0000-0002-1825-0097"
      ),
      Flag.optional
    ),
    license: Flag.String("license").pipe(
      Flag.withMetavar("url"),
      Flag.withDescription(
        "The licence of a crate's contents, as an address, as in https://spdx.org/licenses/CC-BY-4.0"
      ),
      Flag.optional
    ),
    store: flags.store,
    json: flags.json("Prints what was written as JSON")
  },
  (input) => from(async () => (await import("../export.ts")).exportTo(input))
).pipe(
  Command.withShortDescription("Write an artifact's files, or a run for other programs"),
  Command.withDescription(
    "Copies the files of an artifact into a folder: of an export-checkpoint stage, what Hugging Face's transformers loads. With --as it writes a run, as other programs read it: what it did, what it used and made, its metrics."
  ),
  Command.withExamples([
    { command: "ptmflow export export-checkpoint models/mine" },
    { command: "ptmflow export newest --as openlineage", description: "events, one a line" },
    { command: "ptmflow export newest http://localhost:5000 --as openlineage", description: "sent to Marquez" },
    { command: "ptmflow export newest crate --as ro-crate" },
    { command: "ptmflow export newest runs --as tensorboard" }
  ])
)

export const serve = Command.make(
  "serve",
  {
    pipeline: Argument.String("pipeline").pipe(
      Argument.withDescription(
        "A pipeline, whose plan is shown too: what a run of it would do and why, anew when its files change"
      ),
      Argument.optional
    ),
    set: flags.set,
    host: Flag.String("host").pipe(
      Flag.withDescription(
        "The address to listen on; any but this machine's own needs a token, which is made and printed (default 127.0.0.1)"
      ),
      Flag.withDefault("127.0.0.1")
    ),
    port: flags.port(4860),
    device: flags.device,
    threads: flags.threads,
    store: flags.store,
    json: flags.json("Prints the address and the token as JSON")
  },
  (input) => from(async () => (await import("../serve.ts")).serve(input))
).pipe(
  Command.withShortDescription("Serve a page to look at runs, curves, lineage and tables"),
  Command.withDescription(
    "Serves a page until it is stopped: the graph of a run and its curves while they happen, runs side by side, the lineage of a checkpoint, the differences of two, the rows of tables, rollouts token by token, a playground that samples, and verifications. " +
      "It looks, samples and verifies; of what is in the store it changes nothing. It speaks no TLS: across machines put a proxy that does before it."
  ),
  Command.withExamples([
    { command: "ptmflow serve" },
    { command: "ptmflow serve pipelines/chatgpt.ts", description: "with the plan of a pipeline" },
    { command: "ptmflow serve --store runs/a --port 0" }
  ])
)
