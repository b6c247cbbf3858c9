/** `quick` takes `run` and `plan` apart as the parser of all commands does, or leaves them to it. */

import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as FastCheck from "fast-check"
import { vi } from "vitest"
import { ptmflow } from "../../src/cli/commands.ts"
import { quick } from "../../src/cli/quick.ts"

const parsed: Array<unknown> = []
const note = (command: string) => (input: unknown) => Effect.sync(() => parsed.push({ command, input }))
vi.mock("../../src/cli/run.ts", () => ({ run: note("run") }))
vi.mock("../../src/cli/plan.ts", () => ({ plan: note("plan") }))

/** What the parser makes of the arguments. */
const byParser = async (args: ReadonlyArray<string>): Promise<unknown> => {
  parsed.length = 0
  const program = Command.runWith(ptmflow, { version: "" })(args).pipe(Effect.provide(NodeServices.layer), Effect.exit)
  await Effect.runPromise(program)
  return parsed[0]
}

describe("quick", () => {
  it("agrees with the parser wherever it gives an answer", async () => {
    vi.spyOn(console, "log").mockImplementation(() => {})
    vi.spyOn(console, "error").mockImplementation(() => {})
    const text = FastCheck.oneof(
      FastCheck.constantFrom(
        "a.ts",
        "pipelines/b.ts",
        "a=1",
        "ppo.rate=1e-4",
        "x=",
        "=x",
        "",
        "-",
        "--",
        "a=b=c",
        "a=-1"
      ),
      FastCheck.string({ maxLength: 4 })
    )
    const flag = FastCheck.constantFrom(
      "--set",
      "-s",
      "--store",
      "--json",
      "--debug",
      "--help",
      "--set=a=1",
      "--no-json",
      "-j"
    )
    const part = FastCheck.oneof(
      FastCheck.tuple(FastCheck.constantFrom("--set", "-s", "--store"), text),
      FastCheck.tuple(FastCheck.oneof(text, flag, FastCheck.constant("--json")))
    )
    const command = FastCheck.constantFrom("run", "plan", "status", "why")
    let answered = 0
    await FastCheck.assert(
      FastCheck.asyncProperty(command, FastCheck.array(part, { maxLength: 4 }), async (command, parts) => {
        const rest = parts.flat()
        const found = quick([command, ...rest])
        if (found === undefined) return
        answered++
        assert.deepStrictEqual(found, (await byParser([command, ...rest])) as typeof found)
      }),
      { numRuns: 4000, seed: 4 }
    )
    assert.isAbove(answered, 50)
  })

  it("answers what is typed day by day", async () => {
    for (const args of [
      ["run", "pipelines/chatgpt.ts"],
      ["plan", "pipelines/chatgpt.ts", "--set", "sft.epochs=3", "-s", "ppo.iterations=4", "--store", "other", "--json"],
      ["run", "--json", "--set", "text=a=b", "train.ts"]
    ]) {
      const found = quick(args)
      assert.isDefined(found)
      assert.deepStrictEqual(found, (await byParser(args)) as typeof found)
    }
  })
})
