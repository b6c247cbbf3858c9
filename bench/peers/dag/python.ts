/** DVC, Snakemake and redun, from one Python environment. */

import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { endsOf } from "../../dag.ts"
import { type DagPeer, type DagTool, inputsOf, put, versionOf } from "./peer.ts"

/** The folder with the environment's programs. */
const folder = process.env["PTMFLOW_BENCH_DAG"] ?? join(import.meta.dirname, "../.dag/bin")

const source = (leaf: string) => `src/${leaf}.txt`

/** The tool that a program of the environment is. */
const pythonPeer = (
  name: string,
  program: string,
  args: ReadonlyArray<string>,
  write: DagTool["write"],
  environment: Readonly<Record<string, string>> = {}
): DagPeer => ({
  name,
  find: () => {
    const file = join(folder, program)
    const version = existsSync(file) ? versionOf(file, ["--version"]) : undefined
    if (version === undefined) return { missing: `no ${program}: see docs/benchmarks.md for how to install it` }
    return { version: `${name} ${version}`, build: () => ({ file, arguments: args, environment }), source, write }
  }
})

export const dvc: DagPeer = pythonPeer(
  "DVC",
  "dvc",
  ["repro", "-q"],
  (project, dag) => {
    const stages = dag.map((stage) => {
      const inputs = inputsOf(stage)
      const out = `out/${stage.name}`
      return `  ${stage.name}:\n    cmd: sh stage.sh ${out} ${stage.name} ${inputs.join(" ")}\n    deps: [${inputs.join(", ")}]\n    outs: [${out}]\n`
    })
    put(project, "dvc.yaml", `stages:\n${stages.join("")}`)
    execFileSync(join(folder, "dvc"), ["init", "-q", "--no-scm"], { cwd: project, stdio: "ignore" })
  },
  { DVC_NO_ANALYTICS: "1" }
)

export const snakemake: DagPeer = pythonPeer(
  "Snakemake",
  "snakemake",
  ["--cores", "2", "--quiet", "all"],
  (project, dag) => {
    put(project, "dag.json", JSON.stringify(Object.fromEntries(dag.map((stage) => [stage.name, inputsOf(stage)]))))
    put(
      project,
      "Snakefile",
      `import json
with open("dag.json") as file:
    inputs = json.load(file)

rule all:
    input: ${JSON.stringify(endsOf(dag).map((name) => `out/${name}`))}

rule stage:
    input: lambda wildcards: inputs[wildcards.name]
    output: "out/{name}"
    wildcard_constraints: name="s[0-9]+-[0-9]+"
    shell: "sh stage.sh {output} {wildcards.name} {input}"
`
    )
  }
)

export const redun: DagPeer = pythonPeer("redun", "redun", ["run", "workflow.py", "main"], (project, dag) => {
  put(project, "dag.json", JSON.stringify(dag))
  put(
    project,
    "workflow.py",
    `import hashlib
import json

from redun import File, task

redun_namespace = "dag"


def result(name, texts):
    with open("ran", "a") as ran:
        ran.write(name + "\\n")
    return hashlib.sha256(" ".join([name, *texts]).encode()).hexdigest()


@task()
def leaf(name, file):
    return result(name, [file.read()])


@task()
def stage(name, parents):
    return result(name, parents)


@task(cache=False)
def main():
    with open("dag.json") as file:
        dag = json.load(file)
    made = {}
    for each in dag:
        name, parents = each["name"], each["parents"]
        made[name] = stage(name, [made[parent] for parent in parents]) if parents else leaf(name, File(f"src/{name}.txt"))
    used = {parent for each in dag for parent in each["parents"]}
    return [value for name, value in made.items() if name not in used]
`
  )
})
