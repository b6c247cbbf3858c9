/**
 * ptmflow's public API: what pipelines and operators are written with.
 *
 *     import { Operator, Pipeline, Table } from "ptmflow"
 *
 * The operators of the recipe are in `ptmflow/operators`, the engine in `ptmflow/engine`.
 *
 * @since 0.1.0
 */
export { Device, DeviceError } from "./device/device.ts"
export { type Artifact, ArtifactError, type Blob, type BlobSink, type BlobSource } from "./operator/artifact.ts"
export { digestOf } from "./operator/digest.ts"
export * as Operator from "./operator/operator.ts"
export type { Port, Ports, PortValue, PortValues } from "./operator/port.ts"
export type { Resources } from "./operator/resources.ts"
export { type RowRanges, rangesOf } from "./operator/row-ranges.ts"
export { type Progress, type ResumePoint, Stage, type Update } from "./operator/stage.ts"
export * as Pipeline from "./pipeline/pipeline.ts"
export { PipelineError } from "./pipeline/pipelineError.ts"
export * as Table from "./table/index.ts"
