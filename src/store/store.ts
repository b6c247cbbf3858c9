/**
 * The store: immutable blobs named by their digests, and a journal of records.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Layer from "effect/Layer"
import type { BlobSink, BlobSource } from "../operator/artifact.ts"
import type { StoreError } from "./storeError.ts"

/** Where artifacts and records are kept. */
export class Store extends Context.Service<
  Store,
  {
    readonly folder: string
    readonly sink: BlobSink
    readonly source: BlobSource
  }
>()("ptmflow/store/Store") {}

/** The store in `folder`, made if there is none. */
export declare const layer: (folder: string) => Layer.Layer<Store, StoreError>
