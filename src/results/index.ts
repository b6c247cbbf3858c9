/**
 * The results in a store, for scripts: `import { open } from "ptmflow/results"`, or the same as Effects in `Results` with the layer of a store.
 *
 * @since 0.1.0
 */
export type { RunHistory } from "../lineage/history.ts"
export { LineageError, type Made } from "../lineage/ledger.ts"
export type { LogEntry } from "../lineage/run-log.ts"
export type { RunStatus, StageStatus } from "../lineage/run-status.ts"
export type { Learning, RowSeen, SeenTable, Sighting } from "../lineage/seen.ts"
export { TraceError } from "../lineage/trace.ts"
export type { Verified } from "../lineage/verified.ts"
export { layer, Store } from "../store/store.ts"
export { StoreError } from "../store/storeError.ts"
export type { Verification, VerifyOptions } from "../verify/verify.ts"
export {
  type Continuation,
  ContinuationError,
  type ContinuationOptions,
  type Continuations,
  continueText
} from "./continuation.ts"
export { open } from "./open.ts"
export { verify } from "./proof.ts"
export * as Results from "./results.ts"
