import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import type { HelpDoc } from "effect/cli/HelpDoc"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect, test } from "vitest"
import { ptmflow } from "../../src/cli/commands.ts"
import { helpLines } from "../../src/cli/render/help.ts"
import { styleOf } from "../../src/cli/render/view.ts"
import { width } from "../../src/cli/render/width.ts"

const helpOf = async (...path: ReadonlyArray<string>): Promise<HelpDoc> => {
  let doc: HelpDoc | undefined
  const presenter = CliOutput.layerPresenter({
    present: (event) =>
      Effect.sync(() => {
        if (event._tag === "Help") doc = event.helpDoc
      })
  })
  const asked = Command.runWith(ptmflow, { version: "1" })([...path, "--help"])
  await Effect.runPromise(asked.pipe(Effect.provide(Layer.merge(NodeServices.layer, presenter))) as Effect.Effect<void>)
  return doc!
}

const view = { columns: 80, style: styleOf(false) }
const commands = [
  "run",
  "plan",
  "status",
  "lineage",
  "generate",
  "show",
  "export",
  "gc",
  "pin",
  "fsck",
  "reindex",
  "doctor",
  "init"
]

test("the first page names every command, each with a sentence", async () => {
  const text = helpLines(await helpOf(), view).join("\n")
  for (const command of commands) expect(text).toMatch(new RegExp(`^  ${command} +[A-Z]`, "m"))
  expect(text).toContain("ptmflow run pipelines/chatgpt.ts")
})

test.each(commands)("help of %s fits in 80 columns and describes every flag", async (command) => {
  const doc = await helpOf(command)
  const lines = helpLines(doc, view)
  expect(lines.filter((line) => width(line) > 80)).toEqual([])
  for (const flag of [...doc.flags, ...(doc.globalFlags ?? [])]) {
    expect(flag.description._tag, flag.name).toBe("Some")
    expect(lines.join("\n")).toContain(`--${flag.name}`)
  }
  if (["run", "plan", "fsck", "doctor"].includes(command)) expect(lines.join(" ")).toContain("Exit code:")
})

test("every command has --json", async () => {
  const all = (await helpOf()).subcommands!.flatMap(({ commands }) => commands.map(({ name }) => name))
  expect(all).toEqual(expect.arrayContaining([...commands, "attach", "stop", "why", "serve", "serve-remote", "init"]))
  for (const command of all) {
    const { flags } = await helpOf(command)
    expect(
      flags.map(({ name }) => name),
      command
    ).toContain("json")
  }
})
