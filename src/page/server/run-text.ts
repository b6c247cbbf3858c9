/**
 * A run that succeeded as the text of its answer: of ten thousand stages it is put together from what the ledger has of them, without a value in between.
 *
 * @since 0.1.0
 */
import type { StageResult } from "../../lineage/run-status.ts"
import type { Run } from "../answers.ts"

/** A run as JSON, all of whose stages have a result. */
export const runText = (run: Omit<Run, "detail">, results: ReadonlyArray<StageResult>): string => {
  const names = new Map<string, string>()
  for (const { key, stage } of results) names.set(key, JSON.stringify(stage))
  const inputsText = (flat: ReadonlyArray<string>): string => {
    let text = ""
    for (let i = 0; i < flat.length; i += 3) {
      const stage = names.get(flat[i + 1]!)
      if (stage === undefined) continue
      text += `${text === "" ? "" : ","}${JSON.stringify(flat[i])}:{"stage":${stage},"port":${JSON.stringify(flat[i + 2])}}`
    }
    return text
  }
  const stages = results.map(({ found, key, stage, status }) => {
    const { inputs = [], metrics = "{}", operator = "", seconds = null, time = null } = found ?? {}
    return (
      `{"stage":${JSON.stringify(stage)},"operator":${JSON.stringify(operator)},"state":"${status}","inputs":{${inputsText(inputs)}},` +
      `"key":${JSON.stringify(key)},"step":null,"steps":null,"seconds":${seconds},"time":${status === "ran" ? time : null},` +
      `"message":null,"metrics":${metrics}}`
    )
  })
  return `${JSON.stringify(run).slice(0, -1)},"detail":[${stages.join()}]}`
}
