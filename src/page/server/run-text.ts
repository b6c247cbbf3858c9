/**
 * A run that succeeded as the text of its answer: of ten thousand stages it is put together from what the ledger has of them, without a value in between.
 *
 * @since 0.1.0
 */
import type { StageResult } from "../../lineage/run-status.ts"
import type { Run } from "../answers.ts"

/** Texts as JSON has them, of which there are few. */
const quoting = () => {
  const known = new Map<unknown, string>()
  return (text: unknown): string => {
    let quoted = known.get(text)
    if (quoted === undefined) {
      quoted = JSON.stringify(text)
      known.set(text, quoted)
    }
    return quoted
  }
}

/** A run as JSON, all of whose stages have a result; undefined where what was recorded of one, or of what it took, was lost. */
export const runText = (run: Omit<Run, "detail">, results: ReadonlyArray<StageResult>): string | undefined => {
  const quoted = quoting()
  const names: Array<string> = []
  const nameOf = new Map<number, string>()
  for (const { found, stage } of results) {
    if (found === null) return undefined
    const name = JSON.stringify(stage)
    names.push(name)
    nameOf.set(found.id, name)
  }
  const stages: Array<string> = []
  for (const { found, key, status } of results) {
    const { inputs: flat, metrics, operator, seconds, time } = found!
    let inputs = ""
    for (let i = 0; i < flat.length; i += 3) {
      const from = flat[i + 1]
      if (typeof from !== "number") return undefined
      const stage = nameOf.get(from)
      if (stage === undefined) continue
      inputs += `${inputs === "" ? "" : ","}${quoted(flat[i])}:{"stage":${stage},"port":${quoted(flat[i + 2])}}`
    }
    stages.push(
      `{"stage":${names[stages.length]},"operator":${quoted(operator)},"state":"${status}","inputs":{${inputs}},"key":"${key}","step":null,"steps":null,` +
        `"seconds":${seconds},"time":${status === "ran" ? time : null},"message":null,"metrics":${metrics}}`
    )
  }
  return `${JSON.stringify(run).slice(0, -1)},"detail":[${stages.join()}]}`
}
