/**
 * Where an artifact comes from, as a statement that other tools can check: an in-toto Statement v1 with a SLSA Provenance v1 predicate
 * (https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance). It is not signed: that is for who vouches for it.
 *
 * @since 0.1.0
 */
import type { Artifact } from "../operator/artifact.ts"
import type { LineageNode } from "./ledger.ts"
import type { StageRecord } from "./record.ts"

/** The digests of an artifact: of its blobs, by name, in SHA-256; `ptmflow` is that of its logical content. */
const described = (name: string, artifact: Artifact) =>
  Object.entries(artifact.parts).map(([part, blob]) => ({
    name: `${name}/${part}`,
    digest: { sha256: blob.digest },
    annotations: { kind: artifact.kind, artifact: artifact.digest, bytes: blob.bytes }
  }))

/**
 * The statement of an artifact, and of the record of the stage that made it. Its blobs are the subject; the blobs and files that its stage took are what it was
 * resolved from. Who asks for a stage says its pipeline, operator and parameters; ptmflow finds out its key, its code, its packages and its device.
 */
export const statementOf = (node: LineageNode, { preimage }: Pick<StageRecord, "preimage">) => ({
  _type: "https://in-toto.io/Statement/v1",
  subject: described(`${node.stage}.${node.port}`, node.artifact),
  predicateType: "https://slsa.dev/provenance/v1",
  predicate: {
    buildDefinition: {
      buildType: "urn:ptmflow:stage:1",
      externalParameters: { pipeline: node.pipeline, stage: node.stage, operator: node.operator, params: node.params },
      internalParameters: {
        key: node.key,
        version: preimage.operator.version,
        code: preimage.code,
        packages: preimage.packages,
        device: node.device,
        numerics: preimage.numerics
      },
      resolvedDependencies: [
        ...Object.values(node.inputs).flatMap((input) => described(`${input.stage}.${input.port}`, input.artifact)),
        ...node.sources.map(({ digest, name }) => ({ name, digest: { sha256: digest } }))
      ]
    },
    runDetails: {
      builder: { id: "urn:ptmflow:executor" },
      metadata: {
        invocationId: node.run,
        startedOn: new Date(node.time).toISOString(),
        finishedOn: new Date(node.time + 1000 * node.seconds).toISOString()
      },
      byproducts: [
        {
          name: "metrics",
          mediaType: "application/json",
          content: Buffer.from(JSON.stringify(node.metrics)).toString("base64")
        }
      ]
    }
  }
})
