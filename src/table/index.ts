/**
 * Tables: `import * as Table from "ptmflow/table"`.
 *
 * @since 0.1.0
 */
export * from "./table.ts"
export * from "./table-error.ts"
