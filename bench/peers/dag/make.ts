/** GNU make and ninja: one rule a stage; what is out of date is seen by times of change. */
import { endsOf } from "../../dag.ts"
import { type DagPeer, inputsOf, put, versionOf } from "./peer.ts"

const source = (leaf: string) => `src/${leaf}.txt`

export const make: DagPeer = {
  name: "GNU make",
  find: () => {
    const version = versionOf("make", ["--version"])
    if (version === undefined) return { missing: "make is not installed" }
    return {
      version: `GNU make ${version}`,
      build: () => ({ file: "make", arguments: ["-s", "-j2"] }),
      source,
      write: (folder, dag) => {
        const rules = dag.map((stage) => {
          const inputs = inputsOf(stage).join(" ")
          return `out/${stage.name}: ${inputs}\n\tsh stage.sh $@ ${stage.name} ${inputs}\n`
        })
        const all = endsOf(dag).map((name) => `out/${name}`)
        put(folder, "Makefile", `MAKEFLAGS += -r\n.PHONY: all\nall: ${all.join(" ")}\n\n${rules.join("\n")}`)
      }
    }
  }
}

export const ninja: DagPeer = {
  name: "ninja",
  find: () => {
    const version = versionOf("ninja", ["--version"])
    if (version === undefined) return { missing: "ninja is not installed" }
    return {
      version: `ninja ${version}`,
      build: () => ({ file: "ninja", arguments: ["--quiet"] }),
      source,
      write: (folder, dag) => {
        const rule = "rule stage\n  command = sh stage.sh $out $name $in\n"
        const builds = dag.map(
          (stage) => `build out/${stage.name}: stage ${inputsOf(stage).join(" ")}\n  name = ${stage.name}\n`
        )
        put(folder, "build.ninja", `${rule}\n${builds.join("\n")}`)
      }
    }
  }
}
