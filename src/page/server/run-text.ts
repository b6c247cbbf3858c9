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
  const names = results.map(({ stage }) => JSON.stringify(stage))
  const nameOf = new Map<number | undefined, string>()
  for (const [i, { found }] of results.entries()) nameOf.set(found?.id, names[i]!)
  const stages: Array<string> = []
  for (const [at, { found, key, status }] of results.entries()) {
    if (found === null) return undefined
    const { inputs: flat, metrics, operator, seconds, time } = found
    let inputs = ""
    for (let i = 0; i < flat.length; i += 3) {
      const from = flat[i + 1]
      if (typeof from !== "number") return undefined
      const stage = nameOf.get(from)
      if (stage === undefined) continue
      inputs += `${inputs === "" ? "" : ","}${quoted(flat[i])}:{"stage":${stage},"port":${quoted(flat[i + 2])}}`
    }
    stages.push(
      `{"stage":${names[at]},"operator":${quoted(operator)},"state":"${status}","inputs":{${inputs}},"key":"${key}","step":null,"steps":null,` +
        `"seconds":${seconds},"time":${status === "ran" ? time : null},"message":null,"metrics":${metrics}}`
    )
  }
  return `${JSON.stringify(run).slice(0, -1)},"detail":[${stages.join()}]}`
}
