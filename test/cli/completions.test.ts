import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { stripVTControlCharacters } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"
import { bin, counting, Folder } from "./command-line.ts"

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
  const ask = `ptmflow() { "${process.execPath}" "${bin}" "$@"; }
source completions.bash
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

test("names of stages, runs and artifacts come from the pipeline and the store", async () => {
  const { code } = await folder.start(["run", counting, "--set", "count.steps=2"])
  expect(code).toBe(0)
  const [{ run }] = [JSON.parse((await folder.start(["status", "--json"])).out).newest as { run: string }]
  expect(offered("ptmflow", "lineage", "cou")).toEqual(expect.arrayContaining(["count"]))
  expect(offered("ptmflow", "diff", "count", "")).toEqual(expect.arrayContaining(["count"]))
  expect(offered("ptmflow", "pin", "")).toEqual(["newest", run])
  expect(offered("ptmflow", "status", "--as-of", "20")).toEqual([run])
  expect(offered("ptmflow", "export", "--as", "openlineage", "20")).toEqual([run])
  expect(offered("ptmflow", "why", counting, "co")).toEqual(["count"])
  expect(offered("ptmflow", "lineage", "", "--store", "none")).toEqual([])
  expect(fs.existsSync(path.join(folder.root, "none"))).toBe(false)
}, 60_000)

/** What a shell that is not on every machine offers after a line, or undefined where it is not here. */
const offeredBy = (shell: string, script: string): string | undefined => {
  const { error, stdout } = spawnSync(shell, ["-c", script], { cwd: folder.root, encoding: "utf8" })
  return error === undefined ? stripVTControlCharacters(stdout) : undefined
}

test("fish offers the same", ({ skip }) => {
  folder.write("completions.fish", scripts.get("fish")!)
  const line = (text: string) => `function ptmflow; "${process.execPath}" "${bin}" $argv; end
source completions.fish; complete -C "${text}"`
  const commands = offeredBy("fish", line("ptmflow st"))
  if (commands === undefined) return skip("there is no fish here")
  expect(commands).toMatch(/^status\t/m)
  expect(offeredBy("fish", line("ptmflow run --remote-"))).toContain("--remote-policy")
  expect(offeredBy("fish", line("ptmflow lineage cou"))).toMatch(/^count$/m)
  expect(offeredBy("fish", line("ptmflow pin new"))).toMatch(/^newest$/m)
}, 60_000)

test("zsh offers the same", ({ skip }) => {
  folder.write("completions.zsh", scripts.get("zsh")!)
  // A shell in a terminal of its own, as completion is there only.
  const line = (text: string) => `zmodload zsh/zpty
zpty shell zsh -f -i
say() { zpty -w shell "$1" }
say 'PROMPT="" LISTMAX=1000; autoload -Uz compinit; compinit -D; ptmflow() { "${process.execPath}" "${bin}" "$@" }'
say 'source completions.zsh; bindkey "^I" complete-word; setopt no_beep no_list_beep; print READY'
zpty -r shell seen '*READY*READY*'
zpty -w -n shell '${text}'$'\t'
sleep 3
zpty -w -n shell $'\\x15'
zpty -w shell 'print DONE'
zpty -r shell seen '*DONE*DONE*'; print -r -- $seen`
  const commands = offeredBy("zsh", line("ptmflow statu"))
  if (commands === undefined) return skip("there is no zsh here")
  expect(commands).toMatch(/ptmflow status /)
  expect(offeredBy("zsh", line("ptmflow run --remote-p"))).toContain("--remote-policy")
  expect(offeredBy("zsh", line("ptmflow pin newes"))).toContain("ptmflow pin newest ")
}, 60_000)

test("zsh and fish have every command, with its sentence", () => {
  for (const shell of ["zsh", "fish"]) {
    for (const command of ["run", "status", "lineage", "why-not", "init"]) expect(scripts.get(shell)).toContain(command)
    expect(scripts.get(shell)).toContain("Show the newest run and its stages")
  }
})
