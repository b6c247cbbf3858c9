/**
 * The commands that prove what is recorded, and that ask which rows were seen.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as flags from "../flags.ts"
import { from } from "./from.ts"

const depth = Flag.String("depth").pipe(
  Flag.withMetavar("n|all"),
  Flag.withDescription(
    "1: the stage that gave it; 2: also those that gave its inputs; all: back to the files (default 1)"
  ),
  Flag.withDefault("1"),
  Flag.mapTryCatch(
    (text): number => {
      if (text === "all") return Number.POSITIVE_INFINITY
      if (/^[1-9]\d*$/.test(text)) return Number(text)
      throw new Error("a whole number from 1, or all")
    },
    (error) => (error as Error).message
  )
)

const sample = Flag.String("sample").pipe(
  Flag.withMetavar("share"),
  Flag.withDescription(
    "Runs only a share again, as in 5%: of a training some updates, from its start and from resume points that were kept; of a map over batches some batches; other stages run whole"
  ),
  Flag.mapTryCatch(
    (text): number => {
      const share = /^\d+(\.\d+)?%$/.test(text) ? Number(text.slice(0, -1)) / 100 : Number(text)
      if (text !== "" && share > 0 && share <= 1) return share
      throw new Error("a share such as 5% or 0.05")
    },
    (error) => (error as Error).message
  ),
  Flag.optional
)

export const verify = Command.make(
  "verify",
  {
    artifact: flags.reference("artifact", "A checkpoint, or any other artifact"),
    depth,
    sample,
    pipeline: Flag.String("pipeline").pipe(
      Flag.withMetavar("file"),
      Flag.withDescription("The pipeline's file (default: that of the run that made it)"),
      Flag.optional
    ),
    set: flags.set,
    device: flags.device,
    threads: flags.threads,
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints what was found as JSON"),
    events: Flag.Boolean("events").pipe(
      Flag.withDescription(
        "Prints each stage that runs again, how far it is and what was found as a line of JSON while it goes on, and at the end what --json prints"
      ),
      Flag.withDefault(false),
      Flag.withoutNegation
    )
  },
  (input) => from(async () => (await import("../verify.ts")).verify(input))
).pipe(
  Command.withShortDescription("Run what made an artifact again, and compare every digest"),
  Command.withDescription(
    "Runs the stages that made an artifact again, apart from all results that are kept, and compares what they give with their records: proven, or the first difference. " +
      "A stage that cannot run as it ran then, as its code, files or numerics are others today, is said to be not verifiable, and why. What was found is kept, and lineage and show tell it.\n\n" +
      "Exit code: 0 when all is proven, 2 when something differs, 3 when something cannot be verified today, 1 when a stage failed, or on another error."
  ),
  Command.withExamples([
    { command: "ptmflow verify sft.checkpoint" },
    { command: "ptmflow verify policy --depth all --sample 5%" }
  ])
)

export const seen = Command.make(
  "seen",
  {
    artifact: flags.reference("artifact", "A table, or a checkpoint"),
    row: Argument.Int("row").pipe(
      Argument.withDescription("Of a table: the number of a row, from 0"),
      Argument.optional
    ),
    not: Flag.String("not").pipe(
      Flag.withMetavar("checkpoint"),
      Flag.withDescription("Shows the rows that the checkpoint saw and this one did not"),
      Flag.optional
    ),
    asOf: flags.asOf,
    store: flags.store,
    json: flags.json("Prints what is known as JSON")
  },
  (input) => from(async () => (await import("../seen.ts")).seen(input))
).pipe(
  Command.withShortDescription("Show which checkpoints saw a row, or which rows a checkpoint saw"),
  Command.withDescription(
    "Of a row of a table: what it became in other tables, the checkpoints that learned from it, in which updates, and those that came from them. " +
      "Of a checkpoint: the rows that it and those before it learned from, back to the tables that they came from, as ranges."
  ),
  Command.withExamples([
    { command: "ptmflow seen documents 12" },
    { command: "ptmflow seen sft.checkpoint" },
    { command: "ptmflow seen policy --not 3f9a2c1d", description: "rows that policy saw and the other did not" }
  ])
)
