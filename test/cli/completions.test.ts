import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Folder } from "./command-line.ts"

const folder = new Folder()
const scripts = new Map<string, string>()

beforeAll(async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, errors, out } = await folder.start(["--completions", shell])
    expect({ code, errors }).toEqual({ code: 0, errors: "" })
    scripts.set(shell, out)
  }
  folder.write("completions.bash", scripts.get("bash")!)
  folder.write("train.ts", "")
  fs.mkdirSync(path.join(folder.root, "results"))
}, 60_000)
afterAll(() => folder.remove())

/** What bash offers after these words. */
const offered = (...words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const ask = `source completions.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}
"$(complete -p ptmflow | sed 's/.*-F \\([^ ]*\\).*/\\1/')" "$1" "\${COMP_WORDS[-1]}" "\${COMP_WORDS[-2]}"
printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = spawnSync("bash", ["-c", ask, "bash", ...words], { cwd: folder.root, encoding: "utf8" })
  return stdout.split("\n").filter((each) => each !== "")
}

test("bash completes commands, flags, their values and files", () => {
  const syntax = spawnSync("bash", ["-n", "completions.bash"], { cwd: folder.root, encoding: "utf8" })
  expect(syntax).toMatchObject({ status: 0, stderr: "" })
  expect(offered("ptmflow", "st").toSorted()).toEqual(["status", "stop"])
  expect(offered("ptmflow", "")).toEqual(expect.arrayContaining(["run", "plan", "lineage", "generate", "init", "gc"]))
  expect(offered("ptmflow", "run", "--rem").toSorted()).toEqual(["--remote", "--remote-policy"])
  expect(offered("ptmflow", "run", "--device", "")).toEqual(["auto", "cuda", "cpu", "tfjs"])
  expect(offered("ptmflow", "run", "tr")).toEqual(["train.ts"])
  expect(offered("ptmflow", "status", "--store", "re")).toEqual(["results"])
})

test("zsh and fish have every command, with its sentence", () => {
  for (const shell of ["zsh", "fish"]) {
    for (const command of ["run", "status", "lineage", "why-not", "init"]) expect(scripts.get(shell)).toContain(command)
    expect(scripts.get(shell)).toContain("Show the newest run and its stages")
  }
})
