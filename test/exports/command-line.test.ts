/** Runs that are told of while they go on, and exports of runs, through the command line. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { counting, Folder } from "../cli/command-line.ts"
import { fieldsOf, messages, textIn, type Value } from "./protobuf.ts"

interface Request {
  readonly url: string
  readonly headers: NodeJS.Dict<string | ReadonlyArray<string>>
  readonly body: Buffer
}

/** A service that takes everything. */
const listen = async (): Promise<{
  readonly server: Server
  readonly address: string
  readonly requests: Array<Request>
}> => {
  const requests: Array<Request> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      requests.push({ url: request.url!, headers: request.headers, body: Buffer.concat(chunks) })
      response.end("{}")
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { server, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

interface OpenLineageEvent {
  readonly eventType: string
  readonly eventTime: string
  readonly run: { readonly runId: string; readonly facets: { readonly ptmflow: { readonly run: string } } }
  readonly job: { readonly name: string }
  readonly outputs: ReadonlyArray<{ readonly name: string }>
}

/** An event but for its time, which is that of whoever hears it, and for what only the one or the other knows. */
const essence = ({ eventType, job, outputs, run }: OpenLineageEvent) => [eventType, run.runId, job.name, outputs]

const eventsIn = (requests: ReadonlyArray<Request>) =>
  requests
    .filter(({ url }) => url === "/api/v1/lineage")
    .map(({ body }) => JSON.parse(body.toString()) as OpenLineageEvent)

interface Span {
  readonly name: string
  readonly id: string
  readonly parent: string
  readonly attributes: { readonly [name: string]: string }
  readonly failed: boolean
}

/** The spans of OTLP requests, as opentelemetry-proto numbers their fields. */
const spansIn = (requests: ReadonlyArray<Request>): ReadonlyArray<Span> =>
  requests
    .filter(({ url }) => url === "/v1/traces")
    .flatMap(({ body }) => messages(fieldsOf(body), 1))
    .flatMap((resource) => messages(resource, 2))
    .flatMap((scope) => messages(scope, 2))
    .map((span: Map<number, Array<Value>>) => ({
      name: textIn(span, 5),
      id: (span.get(2)![0] as Buffer).toString("hex"),
      parent: ((span.get(4)?.[0] ?? Buffer.alloc(0)) as Buffer).toString("hex"),
      attributes: Object.fromEntries(
        messages(span, 9).map((each) => [textIn(each, 1), textIn(messages(each, 2)[0]!, 1)])
      ),
      failed: messages(span, 15)[0]?.get(3)?.[0] === 2
    }))

describe("a run that is told of", () => {
  const folder = new Folder()
  let service: Awaited<ReturnType<typeof listen>>
  /** Nobody listens there any more. */
  let dead = ""
  beforeAll(async () => {
    service = await listen()
    const gone = await listen()
    dead = gone.address
    gone.server.close()
  })
  afterAll(() => {
    service.server.close()
    folder.remove()
  })

  const run = (args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) =>
    folder.start(["run", counting, ...args], { env })

  it("sends its events and its traces while it goes on; sent again later, the events are the same", async () => {
    const told = ["--openlineage", service.address, "--otlp", service.address, "--tensorboard", "curves"]
    const ended = await run(told, { OPENLINEAGE_API_KEY: "secret", OTEL_RESOURCE_ATTRIBUTES: "team=a" })
    assert.deepStrictEqual([ended.code, ended.errors], [0, ""])

    const live = eventsIn(service.requests)
    assert.strictEqual(live.length, 20)
    for (const { headers, url } of service.requests) {
      if (url === "/api/v1/lineage") assert.strictEqual(headers["authorization"], "Bearer secret")
    }
    const printed = await folder.start(["export", "newest", "--as", "openlineage"])
    const later = printed.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as OpenLineageEvent)
    assert.deepStrictEqual(later.map(essence), live.map(essence))
    service.requests.splice(0)
    await folder.start(["export", "newest", service.address, "--as", "openlineage"])
    assert.deepStrictEqual(eventsIn(service.requests), later)

    const curvesIn = (name: string) =>
      fs
        .readdirSync(path.join(folder.root, name), { recursive: true, encoding: "utf8" })
        .filter((file) => path.basename(file).startsWith("events.out.tfevents."))
        .map((file) => [file.split("/")[1], fs.readFileSync(path.join(folder.root, name, file)).toString("hex")])
        .toSorted()
    const stages = ["again.1", "again.2", "again.3", "count"]
    assert.deepStrictEqual(
      curvesIn("curves").map(([stage]) => stage),
      stages
    )
    // A run that reuses all has the curves of the one that made it.
    await run([])
    for (const [name, to] of [
      [later[0]!.run.facets.ptmflow.run, "first"],
      ["newest", "second"]
    ]) {
      const made = await folder.start(["export", name!, to!, "--as", "tensorboard", "--json"])
      assert.sameMembers((JSON.parse(made.out) as { stages: Array<string> }).stages, stages)
    }
    assert.deepStrictEqual(curvesIn("second"), curvesIn("first"))
  })

  it("has a span for itself, for each stage in it, and for the operator in that, reused ones among them", async () => {
    const stages = ["start", "count", "double.1", "again.1", "double.2", "again.2", "double.3", "again.3", "report"]
    for (const status of ["ran", "reused"] as const) {
      service.requests.splice(0)
      // Spans are sent whole: in one piece after a run as short as this, or in two.
      await run(["--set", "value=2"], { OTEL_EXPORTER_OTLP_ENDPOINT: service.address })
      const spans = spansIn(service.requests)
      const [whole] = spans.filter(({ name }) => name === "run")
      const ofStages = spans.filter(({ name }) => name.startsWith("stage "))
      assert.deepStrictEqual(
        ofStages.map(({ name }) => name).toSorted(),
        stages.map((stage) => `stage ${stage}`).toSorted()
      )
      for (const { attributes, parent } of ofStages) {
        assert.strictEqual(parent, whole!.id)
        assert.strictEqual(attributes["ptmflow.status"], status)
        assert.match(attributes["ptmflow.key"]!, /^[0-9a-f]{64}$/)
      }
      const ofOperators = spans.filter(({ name }) => name.startsWith("operator "))
      assert.strictEqual(ofOperators.length, status === "ran" ? stages.length : 0)
      for (const { attributes, parent } of ofOperators) {
        const stage = ofStages.find(({ id }) => id === parent)
        assert.strictEqual(attributes["ptmflow.stage"], stage?.attributes["ptmflow.stage"])
      }
    }
    service.requests.splice(0)
    const failed = await run(["--set", "throws=true", "--otlp", service.address])
    assert.strictEqual(failed.code, 1)
    const broken = spansIn(service.requests).filter((span) => span.failed)
    assert.deepStrictEqual(broken.map(({ name }) => name).toSorted(), ["operator double", "run", "stage double.1"])
  })

  it("neither fails nor waits where nobody hears it, says so once, and how to send its events later", async () => {
    fs.writeFileSync(path.join(folder.root, "file"), "")
    const began = performance.now()
    const ended = await run(["--set", "value=3", "--openlineage", dead, "--otlp", dead, "--tensorboard", "file"])
    // 10 s for events, 3 s for traces, and a machine that is busy.
    assert.isBelow(performance.now() - began, 60_000)
    assert.strictEqual(ended.code, 0)
    const warnings = ended.errors.split("\n").filter((line) => line.startsWith("warning: "))
    assert.strictEqual(warnings.length, 3, ended.errors)
    const [, name] = /ptmflow export (\S+) \S+ --as openlineage/.exec(ended.errors)!
    service.requests.splice(0)
    const sent = await folder.start(["export", name!, service.address, "--as", "openlineage", "--json"])
    assert.deepStrictEqual(JSON.parse(sent.out), { run: name, to: service.address, events: 20 })
    assert.strictEqual(eventsIn(service.requests).length, 20)
    const refused = await folder.start(["export", name!, dead, "--as", "openlineage"])
    assert.strictEqual(refused.code, 1)
    assert.match(refused.errors, /error: .*ECONNREFUSED/)
  })
})

describe("a run as an RO-Crate", () => {
  const folder = new Folder()
  afterAll(() => folder.remove())

  interface Entity {
    readonly "@id": string
    readonly "@type": string | ReadonlyArray<string>
    readonly [property: string]: unknown
  }
  const read = (crate: string) => {
    const file = path.join(folder.root, crate, "ro-crate-metadata.json")
    const { "@graph": graph } = JSON.parse(fs.readFileSync(file, "utf8")) as { "@graph": ReadonlyArray<Entity> }
    return new Map(graph.map((entity) => [entity["@id"], entity]))
  }
  const references = (value: unknown): ReadonlyArray<string> =>
    [value]
      .flat()
      .flatMap((each) => (typeof each === "object" && each !== null && "@id" in each ? [String(each["@id"])] : []))
  const is = ({ "@type": type }: Entity, wanted: string) => [type].flat().includes(wanted)

  it("has the files with their digests, and says of each stage what it took, made, and when", async () => {
    await folder.start(["run", counting])
    const made = await folder.start(["export", "newest", "crate", "--as", "ro-crate", "--agent", "Ada", "--json"])
    assert.strictEqual(made.code, 0, made.errors)
    const graph = read("crate")
    for (const entity of graph.values()) {
      // What is named is there, but for terms of the profiles that are looked up elsewhere.
      for (const id of Object.values(entity).flatMap(references)) {
        assert.isTrue(graph.has(id) || /^https:\/\/(w3id\.org\/ro\/crate|bioschemas\.org)\//.test(id), id)
      }
      if (!is(entity, "File") || entity["sha256"] === undefined) continue
      const bytes = fs.readFileSync(path.join(folder.root, "crate", entity["@id"]))
      assert.strictEqual(createHash("sha256").update(bytes).digest("hex"), entity["sha256"])
      assert.strictEqual(String(bytes.length), entity["contentSize"])
    }
    const files = fs.readdirSync(path.join(folder.root, "crate"), { recursive: true, withFileTypes: true })
    assert.strictEqual(files.filter((each) => each.isFile()).length, (JSON.parse(made.out) as { files: number }).files)
    const actions = [...graph.values()].filter((each) => is(each, "CreateAction"))
    assert.strictEqual(actions.length, 10)
    for (const action of actions) assert.strictEqual(action["actionStatus"], "http://schema.org/CompletedActionStatus")
    const count = graph.get("#stage/count")!
    assert.include(references(count["object"]), "data/start/number/json")
    assert.include(references(count["result"]), "data/count/number/json")
    assert.deepStrictEqual(count["agent"], { "@id": "#agent/Ada" })
    assert.include(references(graph.get("#organize")!["object"]), "#control/count")
    assert.deepStrictEqual(graph.get("#control/count")!["object"], { "@id": "#stage/count" })
  })

  it("names what is not in it by its digest, tells of what failed, and replaces nothing", async () => {
    await folder.start(["run", counting, "--set", "throws=true"])
    await folder.start(["export", "newest", "small", "--as", "ro-crate", "--no-data"])
    assert.deepStrictEqual(fs.readdirSync(path.join(folder.root, "small")).toSorted(), [
      "README.md",
      "pipeline.json",
      "ro-crate-metadata.json"
    ])
    const graph = read("small")
    const failed = graph.get("#stage/double.1")!
    assert.strictEqual(failed["actionStatus"], "http://schema.org/FailedActionStatus")
    assert.match(String(failed["error"]), /^\w+: ./)
    assert.strictEqual(graph.get("#run")!["actionStatus"], "http://schema.org/FailedActionStatus")
    assert.isUndefined(graph.get("#stage/again.1"))
    const [result] = references(graph.get("#stage/count")!["result"])
    const { sha256 } = graph.get(result!)!
    assert.strictEqual(result, `ni:///sha-256;${Buffer.from(String(sha256), "hex").toString("base64url")}`)
    const again = await folder.start(["export", "newest", "small", "--as", "ro-crate"])
    assert.strictEqual(again.code, 1)
    assert.include(again.errors, "it is there and has files")
    const nowhere = await folder.start(["export", "newest", "--as", "ro-crate"])
    assert.include(nowhere.errors, "name it after newest")
  })
})
