/**
 * Tables: `import * as Table from "ptmflow/table"`.
 *
 * @since 0.1.0
 */
export { Float32List, Int32List, type RowSchema } from "./columns.ts"
export { mapBatches } from "./map-batches.ts"
export { of } from "./port.ts"
export { collect, concat, count, fromBatches, fromRows, type ReadError, type Table } from "./table.ts"
export { TableError } from "./table-error.ts"
