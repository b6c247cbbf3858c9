/**
 * The commands on a store, a machine and a new project.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as flags from "../flags.ts"
import { from } from "./from.ts"

const seconds: { readonly [unit: string]: number } = { s: 1, m: 60, h: 3600, d: 86400 }

export const gc = Command.make(
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
  (input) => from(async () => (await import("../collect.ts")).gc(input))
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

export const pin = Command.make(
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
  (input) => from(async () => (await import("../collect.ts")).pin(input))
).pipe(
  Command.withShortDescription("Keep all results of a run, whatever gc is told"),
  Command.withExamples([{ command: "ptmflow pin newest" }, { command: "ptmflow pin 2026-11-24T05-54-44 --remove" }])
)

export const fsck = Command.make(
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
  (input) => from(async () => (await import("../fsck.ts")).fsck(input))
).pipe(
  Command.withShortDescription("Check that all results in the store are there and whole"),
  Command.withDescription(
    "Reads every result and compares it with its digest, and checks records, resume points and leases.\n\n" +
      "Exit code: 0 when there is no damage, or all of it was repaired, else 1."
  )
)

export const reindex = Command.make(
  "reindex",
  { store: flags.store, json: flags.json("Prints the number of stages as JSON") },
  (input) => from(async () => (await import("../reindex.ts")).reindex(input))
).pipe(
  Command.withShortDescription("Make the ledger anew from the journal"),
  Command.withDescription(
    "Makes the index that answers questions of lineage anew from the records. It is kept up to date by itself: this is for when it is doubted."
  )
)

export const serveRemote = Command.make(
  "serve-remote",
  {
    folder: Argument.String("folder").pipe(Argument.withDescription("Where the results are kept")),
    host: Flag.String("host").pipe(
      Flag.withDescription(
        "The address to listen on; any but the default needs PTMFLOW_REMOTE_TOKEN (default 127.0.0.1)"
      ),
      Flag.withDefault("127.0.0.1")
    ),
    port: flags.port(4850),
    json: flags.json("Prints the address as JSON")
  },
  (input) => from(async () => (await import("../remote.ts")).serve(input))
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

export const doctor = Command.make(
  "doctor",
  { store: flags.store, threads: flags.threads, json: flags.json("Prints the findings as JSON") },
  (input) => from(async () => (await import("../doctor.ts")).doctor(input))
).pipe(
  Command.withShortDescription("Check this machine: Node, compiler, devices, store"),
  Command.withDescription(
    "Checks what ptmflow needs on this machine, and says for each problem what to do.\n\nExit code: 0 when nothing needed is missing, else 1."
  )
)

export const init = Command.make(
  "init",
  {
    folder: Argument.String("folder").pipe(
      Argument.withDescription("Where the project is made: a new folder, or one with none of its files (default .)"),
      Argument.withDefault(".")
    ),
    json: flags.json("Prints the folder and the names of its files as JSON")
  },
  (input) => from(async () => (await import("../init.ts")).init(input))
).pipe(
  Command.withShortDescription("Write a new project that runs at once"),
  Command.withDescription(
    "Writes a project: package.json, tsconfig.json, a pipeline, an operator of its own, a small text, a test, a README. npm install and npm start run it. " +
      "Nothing is replaced: where a file is in the way, it is named and nothing is written."
  ),
  Command.withExamples([{ command: "ptmflow init my-model" }])
)
