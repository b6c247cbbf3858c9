/**
 * The benchmark: `npm run bench` measures every row against the peers it finds, prints a table, and writes it as JSON and Markdown.
 * `npm run bench -- --help` tells the rest.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname } from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Bench, type Case } from "./bench.ts"
import { groups } from "./groups/index.ts"
import { commit, describeMachine, versions } from "./machine.ts"
import { findPeers } from "./peers.ts"
import { Report, type Row } from "./result.ts"
import { oursCommand } from "./sides.ts"
import { markdown, text } from "./table.ts"
import { start } from "./worker.ts"

/** What was asked for is not there. */
class BenchError extends Schema.TaggedError<BenchError>()("BenchError", { message: Schema.String }) {}

const say = (line: string) =>
  Effect.sync(() => {
    process.stderr.write(`${line}\n`)
  })

/** The cases that are named, in the order of the groups; without names those of all groups that run by default. */
const select = (names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<readonly [string, Case]>, BenchError> => {
  const all = groups.flatMap((group) =>
    group.cases.map((each) => ({ group, each, name: `${group.name}/${each.name}` }))
  )
  const unknown = names.find((name) => !all.some((one) => one.name === name || one.group.name === name))
  if (unknown !== undefined) {
    const known = [...groups.map(({ name }) => name), ...all.map(({ name }) => name)].join(", ")
    return Effect.fail(new BenchError({ message: `nothing is named ${unknown}: there are ${known}` }))
  }
  const wanted = ({ group, name }: (typeof all)[number]) =>
    names.length === 0 ? group.byDefault : names.includes(name) || names.includes(group.name)
  return Effect.succeed(all.filter(wanted).map(({ each, name }) => [name, each] as const))
}

/** Writes a whole file or none. */
const write = (file: string, content: string) => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.part`, content)
  renameSync(`${file}.part`, file)
}

const measure = Effect.fnUntraced(function* (input: {
  readonly names: ReadonlyArray<string>
  readonly repeats: number
  readonly threads: number
  readonly json: string
}) {
  const cases = yield* select(input.names)
  const peers = yield* Effect.promise(findPeers)
  for (const peer of [peers.torch, peers.tfjs]) if (!peer.found) yield* say(peer.message)
  const meter = yield* start("peak", oursCommand)
  const head = {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    command: ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
    commit: commit(),
    machine: describeMachine(),
    versions: versions(peers),
    threads: input.threads,
    repeats: input.repeats
  }
  const rows: Array<Row> = []
  let peak = 0
  let report: Report = { ...head, peak, rows }
  const began = performance.now()
  for (const [index, [name, each]] of cases.entries()) {
    const seconds = ((performance.now() - began) / 1000).toFixed(0)
    yield* say(`${seconds.padStart(4)} s  ${index + 1} of ${cases.length}: ${name}`)
    peak = Math.max(peak, (yield* meter.ask({ do: "peak" })).flopsPerSecond ?? 0)
    const bench = Bench.of({ threads: input.threads, repeats: input.repeats, peers })
    rows.push(...(yield* Effect.provideService(each.run, Bench, bench)))
    report = { ...head, peak, rows }
    // After every case, so that a run that is stopped keeps what it has measured.
    write(input.json, `${JSON.stringify(Schema.encodeSync(Report)(report), null, 1)}\n`)
    write(input.json.replace(/\.json$/, ".md"), markdown(report))
  }
  process.stdout.write(`${text(report)}\n`)
}, Effect.scoped)

const positive = (name: string, description: string, standard: number) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("n"),
    Flag.withDescription(`${description} (default ${standard})`),
    Flag.withDefault(standard),
    Flag.filter(
      (n) => n >= 1,
      () => "a whole number from 1"
    )
  )

const list = groups.map(
  ({ byDefault, cases, description, name }) =>
    `  ${name}: ${description}${byDefault ? "" : " (only when named)"}; ${cases.map((each) => `${name}/${each.name}`).join(", ")}`
)

const bench = Command.make(
  "npm run bench --",
  {
    names: Argument.String("name").pipe(
      Argument.withDescription("Groups or rows to measure (default: all)"),
      Argument.variadic()
    ),
    repeats: positive("repeats", "Repeats of each side at least, in turns; short work is repeated more often", 5),
    threads: positive("threads", "Threads of each side", availableParallelism()),
    json: Flag.String("json").pipe(
      Flag.withMetavar("file"),
      Flag.withDescription(
        "Where the figures go, as JSON and, beside it, as Markdown (default bench/results/latest.json)"
      ),
      Flag.withDefault("bench/results/latest.json"),
      Flag.filter(
        (file) => file.endsWith(".json"),
        () => "a file named *.json"
      )
    )
  },
  measure
).pipe(
  Command.withDescription(
    `Measures ptmflow against the peers on this machine. A peer that is not there is "not measured".\n\nGroups and rows:\n${list.join("\n")}`
  )
)

Command.runWith(bench, { version: "" })(process.argv.slice(2)).pipe(
  Effect.tapError((error) => (error._tag === "ShowHelp" ? Effect.void : say(error.message))),
  Effect.tapDefect((defect) => say(Cause.pretty(Cause.die(defect)))),
  Effect.provide(Layer.mergeAll(NodeServices.layer, CliConfig.layer({ builtIns: [GlobalFlag.Help] }))),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true })
)
