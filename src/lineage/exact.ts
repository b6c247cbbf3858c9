/**
 * Artifacts by an address that never means another one.
 *
 * @since 0.1.0
 */
import type { Journal } from "../store/journal.ts"
import type { Made } from "./ledger.ts"
import { stageRecord } from "./records.ts"

/** What `<stage key>:<port>` says; undefined for text of another form. */
export const exactReference = (reference: string): Pick<Made, "key" | "port"> | undefined => {
  const [, key, port] = /^([0-9a-f]{64}):([\w.-]+)$/.exec(reference) ?? []
  return key === undefined || port === undefined ? undefined : { key, port }
}

/** The output that it names, if it is recorded. */
export const exactly = (journal: Journal, { key, port }: Pick<Made, "key" | "port">): Made | undefined => {
  const record = stageRecord(journal, key)
  const artifact = record === undefined || !Object.hasOwn(record.outputs, port) ? undefined : record.outputs[port]
  return record === undefined || artifact === undefined ? undefined : { artifact, key, port, stage: record.stage }
}
