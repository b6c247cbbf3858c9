/** The page on a store in which the recipe ran: its addresses, and every view of it in Chromium. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { type Browser, chromium, type Page } from "playwright-core"
import { cpu } from "../../src/device/cpu/cpu.ts"
import type { Plan } from "../../src/executor/plan.ts"
import { stageRecord } from "../../src/lineage/records.ts"
import { addVerified, type Verified } from "../../src/lineage/verified.ts"
import type {
  Curves,
  Diff,
  Lineage,
  PlanView,
  Refusal,
  Rollouts,
  RowSeen,
  RowsApart,
  Run,
  RunArtifacts,
  Runs,
  Sampled,
  StageDetail,
  TablePage
} from "../../src/page/answers.ts"
import * as Answers from "../../src/page/answers.ts"
import type { Planner } from "../../src/page/server/plan.ts"
import { PageError } from "../../src/page/server/refusal.ts"
import { type Serving, serve } from "../../src/page/server/serve.ts"
import type { Verifier } from "../../src/page/server/verify.ts"
import { thisProcess } from "../../src/store/holder.ts"
import { open, Store } from "../../src/store/store.ts"
import { beginRun, loop } from "./live-run.ts"
import { runRecipe } from "./recipe.ts"

const folder = mkdtempSync(path.join(tmpdir(), "ptmflow-page-"))
const scope = Effect.runSync(Scope.make())
afterAll(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  rmSync(folder, { recursive: true, force: true })
})

let store: Store["Service"]
let runs: ReadonlyArray<string>
let local: Serving
let remote: Serving

const inStore = <A, E>(effect: Effect.Effect<A, E, Store | Scope.Scope>): Promise<A> =>
  Effect.runPromise(effect.pipe(Effect.provideService(Store, store), Effect.provideService(Scope.Scope, scope)))

/** Finds what a test says, when it says so: an artifact is `<stage key>:<port>`. */
let found: Pick<Verified, "verdict" | "reasons" | "sampled"> = { verdict: "proven", reasons: [] }
let mayEnd = Promise.withResolvers<void>()
const verifier: Verifier = ({ artifact }, onEvent) =>
  Effect.gen(function* () {
    const [key = "", port = ""] = artifact.split(":")
    const record = stageRecord(store.journal, key)!
    const { stage } = record
    onEvent({ _tag: "Stage", stage })
    onEvent({ _tag: "Progress", stage, step: 3, steps: 4 })
    yield* Effect.promise(() => mayEnd.promise)
    const { digest } = record.outputs[port]!
    const verified: Verified = {
      ...{ key, stage, operator: record.preimage.operator.name, recorded: { [port]: digest }, holder: thisProcess() },
      ...{ outputs: [{ port, recorded: digest, found: digest }], user: "ana", device: "2 threads", numerics: null },
      ...{ time: Date.now(), seconds: 2, ...found }
    }
    yield* Effect.orDie(addVerified(store.journal, verified))
    onEvent({ _tag: "Verdict", verified })
  })

beforeAll(async () => {
  store = await Effect.runPromise(open(path.join(folder, "store")))
  runs = await inStore(runRecipe(folder))
  const device = cpu({ threads: 1 })
  local = await inStore(serve({ host: "127.0.0.1", port: 0, device, verifier }))
  remote = await inStore(serve({ host: "0.0.0.0", port: 0, device }))
}, 120_000)

/** An answer, with its status. */
const ask = async <A>(path: string, init: RequestInit = {}, at = local.address) => {
  const response = await fetch(`${at.replace("0.0.0.0", "127.0.0.1")}${path}`, { redirect: "manual", ...init })
  const text = await response.text()
  const body = text.startsWith("{") ? JSON.parse(text) : undefined
  check(path, response.status, body)
  return { status: response.status, headers: response.headers, text, body: body as A }
}

/** What each address answers. */
const schemas: ReadonlyArray<readonly [RegExp, Schema.ConstraintDecoder<unknown>]> = [
  [/^api\/runs(\?|$)/, Answers.Runs],
  [/^api\/runs\/[^/]+$/, Answers.Run],
  [/\/curves$/, Answers.Curves],
  [/\/stage\?/, Answers.StageDetail],
  [/\/artifacts(\?|$)/, Answers.RunArtifacts],
  [/^api\/lineage/, Answers.Lineage],
  [/^api\/diff/, Answers.Diff],
  [/^api\/tables/, Answers.TablePage],
  [/^api\/rollouts/, Answers.Rollouts],
  [/^api\/seen/, Answers.RowSeen],
  [/^api\/rows-apart/, Answers.RowsApart],
  [/^api\/plan$/, Answers.PlanView],
  [/^api\/verified\//, Answers.Verifications],
  [/^api\/verify$/, Answers.Verifying],
  [/^api\/sample/, Answers.Sampled]
]

/** Every answer that is JSON is of its address's schema, and has nothing that is not in it. */
const check = (path: string, status: number, body: unknown): void => {
  const schema = status >= 400 ? Answers.Refusal : schemas.find(([address]) => address.test(path))?.[1]
  if (body === undefined) return
  assert.isDefined(schema, path)
  Schema.decodeUnknownSync(schema!, { onExcessProperty: "error" })(body)
}

const post = (body: unknown, init: RequestInit = {}) =>
  ask<Sampled & Refusal>("api/sample", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...init
  })

/** A path as it is written, which `fetch` would tidy, with any host name. */
const raw = (at: string, host = "localhost") =>
  new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const { port } = new URL(local.address)
    request({ host: "127.0.0.1", port, path: at, headers: { host } }, (response) => {
      let text = ""
      response.on("data", (data) => {
        text += data
      })
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }))
    })
      .on("error", reject)
      .end()
  })

const sampling = { prompt: "We", tokens: 6, temperature: 1, topK: 0, topP: 1, seed: 3, count: 2 }

describe("the page's answers", () => {
  it("list the runs, and one of them with its stages and their metrics", async () => {
    const { body } = await ask<Runs>("api/runs?limit=1")
    assert.deepStrictEqual([body.total, body.runs.map(({ run }) => run)], [2, [runs[1]]])
    const { body: run } = await ask<Run>(`api/runs/${runs[1]}`)
    const states = new Map(run.detail.map(({ stage, state }) => [stage, state]))
    assert.deepStrictEqual([states.get("documents"), states.get("pretrain")], ["reused", "ran"])
    const pretrain = run.detail.find(({ stage }) => stage === "pretrain")!
    assert.deepStrictEqual(pretrain.inputs["train"], { stage: "tokenize", port: "train" })
    const { body: detail } = await ask<StageDetail>(`api/runs/${runs[1]}/stage?name=pretrain`)
    assert.deepStrictEqual([detail.step, detail.steps], [40, 40])
    assert.match(detail.reasons.join(), /learningRate/)
    assert.deepInclude(detail.params, { learningRate: 0.003 })
    assert.deepStrictEqual([detail.made!.run, detail.made!.stage], [runs[1], "pretrain"])
    assert.match(detail.made!.device!, /1 thread/)
    // What was reused says who made it, and why that was so is not why this run did nothing.
    const { body: reused } = await ask<StageDetail>(`api/runs/${runs[1]}/stage?name=documents`)
    assert.deepStrictEqual([reused.made!.run, reused.reasons], [runs[0], []])
    assert.deepStrictEqual(
      reused.artifacts.map(({ name, rows }) => [name, typeof rows]),
      [["documents.documents", "number"]]
    )
    const { body: curves } = await ask<Curves>(`api/runs/${runs[1]}/curves`)
    const loss = curves.series.find(({ metric, stage }) => stage === "pretrain" && metric === "loss")!
    const [step, steps, last] = loss.points.at(-1)!
    assert.deepStrictEqual([step, steps, last], [40, 40, pretrain.metrics["loss"]])
    assert.isTrue(loss.points.every(([at], i) => i === 0 || at! > loss.points[i - 1]![0]!))
  })

  it("of a run without a log have the graph from its records", async () => {
    const { body: before } = await ask<Run>(`api/runs/${runs[0]}`)
    rmSync(path.join(store.folder, "runs", runs[0]!))
    const { body: after } = await ask<Run>(`api/runs/${runs[0]}`)
    const edges = (run: Run) => run.detail.map(({ inputs, stage, state }) => [stage, state, inputs])
    assert.deepStrictEqual(edges(after), edges(before))
  })

  it("walk the lineage both ways, and say what differs in the fewest words", async () => {
    const { body } = await ask<Lineage>("api/lineage/sft.checkpoint?depth=1")
    const stages = (sign: number) =>
      body.nodes.flatMap(({ distance, stage }) => (Math.sign(distance) === sign ? [stage] : [])).sort()
    assert.deepStrictEqual(stages(-1), ["demonstrations", "pretrain"])
    assert.include(stages(1), "rollout.1")
    const { body: whole } = await ask<Lineage>("api/lineage/ppo.1?depth=50")
    const documents = whole.nodes.find(({ stage }) => stage === "documents")!
    assert.isAbove(documents.sources.length, 0)
    const ids = new Set(whole.nodes.map(({ id }) => id))
    for (const { inputs } of whole.nodes) for (const id of Object.values(inputs)) assert.isTrue(ids.has(id))

    const checkpoint = async (run: string) => {
      const { body } = await ask<RunArtifacts>(`api/runs/${run}/artifacts?kind=checkpoint&match=ppo.1.`)
      assert.deepStrictEqual(
        body.artifacts.map(({ name }) => name),
        ["ppo.1.policy"]
      )
      return body.artifacts[0]!
    }
    const [a, b] = [await checkpoint(runs[0]!), await checkpoint(runs[1]!)]
    const { body: diff } = await ask<Diff>(`api/diff?a=${a.key}:${a.port}&b=${b.key}:${b.port}`)
    assert.deepStrictEqual(
      diff.causes.map(({ from, kind, place, stage, to }) => [kind, stage, place, from, to]),
      [["parameter", "pretrain", "learningRate", "0.001", "0.003"]]
    )
    const { body: same } = await ask<Diff>(`api/diff?a=${a.key}:${a.port}&b=${a.key}:${a.port}`)
    assert.deepStrictEqual([same.same, same.causes], [true, []])
  })

  it("give the rows of a table page by page, and those that a filter keeps", async () => {
    const rows: Array<number> = []
    let next: number | null = 0
    while (next !== null) {
      const { body }: { body: TablePage } = await ask<TablePage>(`api/tables/documents?offset=${next}&limit=3`)
      rows.push(...body.rows.map(({ row }) => row))
      next = body.next
      if (next === null) assert.strictEqual(rows.length, body.total)
    }
    assert.deepStrictEqual(rows, [...rows.keys()])
    const { body: all } = await ask<TablePage>("api/tables/score.1.scored?limit=500")
    const at = all.columns.findIndex(({ name }) => name === "reward")
    const { body: high } = await ask<TablePage>(
      "api/tables/score.1.scored?limit=500&column=reward&operator=above&value=0"
    )
    assert.deepStrictEqual(
      high.rows.map(({ row }) => row),
      all.rows.filter(({ cells }) => (cells[at] as number) > 0).map(({ row }) => row)
    )
    const { body: end } = await ask<TablePage>(`api/tables/documents?offset=${1e12}`)
    assert.deepStrictEqual([end.rows, end.next], [[], null])
  })

  it("give rollouts token by token: the tokens are the answer, and KL is what the columns say", async () => {
    const { body } = await ask<Rollouts>("api/rollouts/score.1.scored?limit=5")
    const scored = {
      tokens: true,
      logProbability: true,
      kl: true,
      reward: false,
      value: false,
      advantage: false,
      score: true
    }
    assert.deepStrictEqual(body.has, scored)
    const { body: table } = await ask<TablePage>("api/tables/score.1.scored?limit=5")
    const column = (name: string, row: number) =>
      table.rows[row]!.cells[table.columns.findIndex((each) => each.name === name)]
    for (const { row, tokens } of body.prompts.flatMap(({ answers }) => answers)) {
      const own = column("logProbabilities", row) as ReadonlyArray<number>
      const reference = column("referenceLogProbabilities", row) as ReadonlyArray<number>
      assert.strictEqual(tokens!.length, own.length)
      for (const [i, { kl }] of tokens!.entries()) assert.approximately(kl!, own[i]! - reference[i]!, 1e-6)
    }
    const { body: plain } = await ask<Rollouts>("api/rollouts/rollout.1.completions?limit=1")
    assert.deepStrictEqual([plain.has.score, plain.has.kl], [false, false])
    const { body: learned } = await ask<Rollouts>("api/rollouts/ppo.1.experience?limit=5")
    assert.isTrue(Object.values(learned.has).every((each) => each))
    for (const { reward, tokens } of learned.prompts.flatMap(({ answers }) => answers)) {
      // In the first round the policy is the reference: there is no KL, and the reward comes at the end.
      for (const [t, token] of tokens!.entries()) {
        assert.approximately(token.kl!, 0, 1e-4)
        assert.approximately(token.reward!, t === tokens!.length - 1 ? reward! : 0, 1e-4)
        assert.isTrue(Number.isFinite(token.advantage) && Number.isFinite(token.value))
      }
    }
    const { body: refused, status } = await ask<Refusal>("api/rollouts/documents")
    assert.deepStrictEqual([status, refused._tag], [400, "Refusal"])
  })

  it("tell which checkpoints saw a row, as the traces of their updates say", async () => {
    const { body } = await ask<RowSeen>("api/seen/score.1.scored?row=3")
    const ppo = body.checkpoints.find(({ artifact }) => artifact.name === "ppo.1.policy")!
    assert.deepStrictEqual(
      ppo.learned.map(({ of, port, rows }) => [port, rows, typeof of]),
      [["scored", { count: 1, ranges: "3" }, "number"]]
    )
    // Each epoch sees each answer once: as often as there are epochs.
    assert.strictEqual(ppo.learned[0]!.updates!.count, 4)
    const { body: learned } = await ask<RowSeen>("api/seen/documents?row=0")
    assert.include(
      learned.checkpoints.map(({ artifact }) => artifact.name),
      "pretrain.checkpoint"
    )
    const { body: refused, status } = await ask<Refusal>("api/seen/documents?row=1000000000")
    assert.deepStrictEqual([status, refused._tag], [404, "Refusal"])
  })

  it("tell which rows one of two checkpoints saw and the other did not", async () => {
    const { body } = await ask<RowsApart>("api/rows-apart?a=ppo.1.policy&b=sft.checkpoint")
    // PPO took what pretraining and SFT learned from, and prompts of its own.
    assert.deepStrictEqual(body.b, [])
    assert.isAbove(body.a.length, 0)
    const { body: none } = await ask<RowsApart>("api/rows-apart?a=sft.checkpoint&b=sft.checkpoint")
    assert.deepStrictEqual(none, { a: [], b: [] })
    const { body: refused, status } = await ask<Refusal>("api/rows-apart?a=documents&b=sft.checkpoint")
    assert.deepStrictEqual([status, refused._tag], [404, "Refusal"])
  })

  it("of no pipeline have no plan, and planning again is asked for with POST", async () => {
    const { body } = await ask<PlanView>("api/plan")
    assert.deepStrictEqual([body.file, body.stages], [null, []])
    const headers = { "content-type": "application/json" }
    assert.strictEqual((await ask("api/plan", { method: "POST", headers, body: "{}" })).status, 200)
    assert.strictEqual((await ask("api/plan", { method: "POST" })).status, 415)
  })

  it("sample from a checkpoint, the same for the same seed", async () => {
    const { body: first } = await post({ ...sampling, checkpoint: "ppo.1" })
    assert.strictEqual(first.completions.length, 2)
    assert.notStrictEqual(first.completions[0]!.text, first.completions[1]!.text)
    const { body: again } = await post({ ...sampling, checkpoint: "ppo.1" })
    assert.deepStrictEqual(again.completions, first.completions)
    const refusals = [
      [{ ...sampling, checkpoint: "ppo.1", tokens: 0 }, 400, "tokens"],
      [{ ...sampling, checkpoint: "documents" }, 400, "not a checkpoint"],
      [{ ...sampling, checkpoint: "nothing" }, 404, "there is no nothing"],
      [{ checkpoint: "ppo.1" }, 400, "prompt"],
      [{ ...sampling, checkpoint: "ppo.1", prompt: "We ".repeat(100_000) }, 400, "longer than 256 KiB"],
      [{ ...sampling, checkpoint: "ppo.1", prompt: "We ".repeat(200) }, 400, "no room"]
    ] as const
    for (const [body, status, message] of refusals) {
      const answer = await post(body)
      assert.deepStrictEqual([answer.status, answer.body._tag], [status, "Refusal"], message)
      assert.include(answer.body.message, message)
    }
  })

  it("sample one at a time, also while the device is being opened, and go on when one that waits is given up", async () => {
    const gate = Promise.withResolvers<void>()
    const slow = Layer.unwrap(
      Effect.map(
        Effect.promise(() => gate.promise),
        () => cpu({ threads: 1 })
      )
    )
    const { address } = await inStore(serve({ host: "127.0.0.1", port: 0, device: slow }))
    const body = JSON.stringify({ ...sampling, checkpoint: "ppo.1" })
    const headers = { "content-type": "application/json" }
    const send = (signal: AbortSignal | null = null) =>
      fetch(`${address}api/sample`, { method: "POST", headers, body, signal })
    const abort = new AbortController()
    const both = [send(abort.signal), send(abort.signal)]
    const refused = await Promise.race(both)
    assert.strictEqual(refused.status, 409)
    assert.match(((await refused.json()) as Refusal).message, /another request is sampling/)
    abort.abort()
    await Promise.allSettled(both)
    gate.resolve()
    let last = await send()
    while (last.status === 409) last = await send()
    assert.strictEqual(last.status, 200)
  })

  it("refuse what is not there, and what is out of bounds, as typed errors", async () => {
    const wrong: ReadonlyArray<readonly [string, number]> = [
      ["api/runs/never", 404],
      ["api/runs/never/curves", 404],
      ["api/runs/never/events", 404],
      ["api/lineage/nothing", 404],
      ["api/nowhere", 404],
      [`api/runs/${runs[1]}/stage?name=never`, 404],
      [`api/runs/${runs[1]}/stage`, 400],
      [`api/runs/${runs[1]}/artifacts?limit=1001`, 400],
      ["api/runs?limit=0", 400],
      ["api/runs?limit=501", 400],
      ["api/runs?offset=-1", 400],
      ["api/runs?offset=1e3", 400],
      ["api/tables/documents?limit=501", 400],
      ["api/tables/documents?column=none&value=x", 400],
      ["api/tables/documents?column=text&operator=like&value=x", 400],
      ["api/tables/pretrain.checkpoint", 400],
      ["api/lineage/ppo.1?depth=51", 400],
      ["api/diff?a=ppo.1", 400],
      [`api/runs/${runs[1]}/events?from=x`, 400]
    ]
    for (const [path, status] of wrong) {
      const answer = await ask<Refusal>(path)
      assert.deepStrictEqual([answer.status, answer.body._tag, answer.body.status], [status, "Refusal", status], path)
    }
  })

  it("read no file that is not the page's", async () => {
    writeFileSync(path.join(store.folder, "secret"), "secret")
    const paths = [
      "/../secret",
      "/%2e%2e/secret",
      "/..%2fsecret",
      "/runs/../secret",
      "/secret",
      "//secret",
      "/page.js/../../secret"
    ]
    const names = ["..%2fsecret", "..%2f..%2frecords", "%2fetc%2fpasswd", "..%5csecret", "%00"]
    for (const at of [
      ...paths,
      ...names.flatMap((name) => [`/api/runs/${name}`, `/api/tables/${name}`, `/api/lineage/${name}`])
    ]) {
      const { status, text } = await raw(at)
      assert.isAtLeast(status, 400, at)
      assert.notInclude(text.replaceAll(/there is no [^"]*/g, ""), '"secret"', at)
      assert.notMatch(text, /root:/)
    }
  })

  it("change nothing for a GET, and take only JSON, from the page itself", async () => {
    assert.strictEqual((await ask("api/sample")).status, 404)
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS"]) {
      assert.strictEqual((await ask("api/runs", { method })).status, 405, method)
    }
    const body = JSON.stringify({ ...sampling, checkpoint: "ppo.1" })
    const form = { method: "POST", headers: { "content-type": "text/plain" }, body }
    assert.strictEqual((await ask("api/sample", form)).status, 415)
    const headers = { "content-type": "application/json", origin: "http://evil.example" }
    assert.strictEqual((await ask("api/sample", { method: "POST", headers, body })).status, 403)
    assert.strictEqual(
      (await ask("api/runs", { method: "POST", headers: { "content-type": "application/json" } })).status,
      405
    )
  })

  it("go to this machine alone without a token, and elsewhere to whoever has it", async () => {
    assert.isUndefined(local.token)
    assert.strictEqual((await raw("/api/runs", "evil.example")).status, 403)
    assert.strictEqual((await raw("/api/runs", "localhost:4860")).status, 200)
    const token = remote.token!
    assert.isAtLeast(token.length, 24)
    for (const path of ["", "api/runs", "page.js"]) {
      assert.strictEqual((await ask<Refusal>(path, {}, remote.address)).status, 401)
    }
    assert.strictEqual((await ask(`?token=${token.slice(1)}`, {}, remote.address)).status, 401)
    assert.strictEqual((await ask(`api/runs?token=${token}`, {}, remote.address)).status, 401)
    const first = await ask(`?token=${token}`, {}, remote.address)
    assert.deepStrictEqual([first.status, first.headers.get("location")], [303, "/"])
    const cookie = first.headers.get("set-cookie")!
    assert.match(cookie, /HttpOnly; SameSite=Strict/)
    const later = { headers: { cookie: cookie.split(";")[0]! } }
    assert.strictEqual((await ask("api/runs", later, remote.address)).status, 200)
    const bearer = { headers: { authorization: `Bearer ${token}` } }
    assert.strictEqual((await ask("api/runs", bearer, remote.address)).status, 200)
  })

  it("tell the browser to run what comes from here and nothing else", async () => {
    const { headers, text } = await ask("")
    assert.match(
      headers.get("content-security-policy") ?? "",
      /default-src 'none'; script-src 'self'; style-src 'self'/
    )
    assert.notMatch(text, /<script(?![^>]*src=)|<style|style=|https?:\/\/(?!www\.w3\.org)/)
  })

  it("tell what happens in a run of another process as it happens, and go on from where one stopped to listen", async () => {
    const stages = loop(2, 1)
    const run = "2026-11-24T09-00-00-000001"
    const other = await Effect.runPromise(open(path.join(folder, "other")))
    const inOther = <A, E>(effect: Effect.Effect<A, E, Store | Scope.Scope>) =>
      inStore(Effect.provideService(effect, Store, other))
    const { address } = await inOther(serve({ host: "localhost", port: 0, device: cpu({ threads: 1 }) }))
    const { add, end } = await inOther(beginRun(run, stages))
    const abort = new AbortController()
    const response = await fetch(`${address}api/runs/${run}/events?from=0`, { signal: abort.signal })
    assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    let heard = ""
    const until = async (words: string) => {
      while (!heard.includes(words))
        heard += (await reader.read()).value ?? assert.fail(`the stream ended before ${words}`)
    }
    await until('"Graph"')
    add({ _tag: "Started", stage: "pretrain", time: Date.now(), key: "k", reasons: ["never ran"] })
    await until('"Started"')
    const id = /id: (\d+)\n(?!.*\n?id:)/s.exec(heard)![1]!
    abort.abort()
    assert.strictEqual((await ask<Run>(`api/runs/${run}`, {}, address)).body.detail[0]!.state, "running")
    add({ _tag: "Progress", stage: "pretrain", time: Date.now(), seconds: 1, step: 1, steps: 2, metrics: { loss: 2 } })
    await Effect.runPromise(end)
    const rest = await ask(`api/runs/${run}/events`, { headers: { "last-event-id": id } }, address)
    assert.include(rest.text, '"Progress"')
    assert.notInclude(rest.text, '"Started"')
    assert.include(rest.text, "event: done")
  })
})

/** A plan of the loop: the first stage runs for a reason, the others may because of it. */
const planOf = (message: string): Plan => ({
  format: 1,
  pipeline: "loop",
  seconds: 3,
  stages: loop(2, 1).map(({ inputs, operator, stage }, i) =>
    i === 0
      ? {
          stage,
          operator,
          inputs,
          action: "run",
          reasons: [{ kind: "parameter", place: "steps", message }],
          seconds: 3
        }
      : { stage, operator, inputs, action: "maybe", reasons: [], cause: { stage: "pretrain", message } }
  )
})

/** The node that has the focus, in the page. */
const focused = 'document.activeElement?.getAttribute("data-node")'

const executable = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser"].find(
  (file) => file !== undefined && existsSync(file)
)
if (executable === undefined) {
  process.stdout.write(
    "skipped: the page in a browser, as there is no chromium (apt-get install chromium, or CHROMIUM=its path)\n"
  )
}

describe.skipIf(executable === undefined)("the page in Chromium", () => {
  let browser: Browser
  const shots = process.env["PTMFLOW_SCREENSHOTS"] ?? path.join(folder, "shots")
  beforeAll(async () => {
    mkdirSync(shots, { recursive: true })
    browser = await chromium.launch({ executablePath: executable!, args: ["--no-sandbox"] })
  }, 60_000)
  afterAll(() => browser.close())

  /** A page of its own, in which nothing may be written to the console, fail to load, or break the policy. */
  const visit = async (
    scheme: "light" | "dark",
    use: (page: Page, shot: (name: string) => Promise<void>) => Promise<void>,
    address = local.address
  ) => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: scheme })
    page.setDefaultTimeout(30_000)
    const wrong: Array<string> = []
    page.on("console", (message) => wrong.push(`${message.type()}: ${message.text()}`))
    page.on("pageerror", ({ message }) => wrong.push(message))
    page.on("request", (request) => {
      if (!request.url().startsWith(address)) wrong.push(`asked for ${request.url()}`)
    })
    await page.goto(address)
    await use(page, async (name) => {
      const bytes = await page.screenshot({ path: path.join(shots, `${name}-${scheme}.png`) })
      assert.isAbove(bytes.length, 5_000, name)
    })
    await page.close()
    assert.deepStrictEqual(wrong, [])
  }

  const heading = (page: Page, text: string | RegExp) => page.getByRole("heading", { level: 1, name: text }).waitFor()

  for (const scheme of ["light", "dark"] as const) {
    it(`shows every view, ${scheme}, by clicks alone`, () =>
      visit(scheme, async (page, shot) => {
        await page.getByRole("link", { name: runs[1]! }).waitFor()
        await shot("runs")
        await page.getByRole("link", { name: "Pipeline" }).click()
        await page.getByText("started without a pipeline").waitFor()
        await page.getByRole("link", { name: "Runs", exact: true }).click()
        for (const run of runs) await page.getByRole("checkbox", { name: run }).check()
        await page.getByRole("button", { name: /^Compare curves/ }).click()
        await heading(page, "Curves")
        await page.locator(".plot canvas").first().waitFor()
        await shot("curves")

        await page.getByRole("link", { name: "Runs", exact: true }).click()
        await page.getByRole("link", { name: runs[1]! }).click()
        await page.locator(".node", { hasText: "pretrain" }).click()
        await page.getByRole("heading", { level: 2, name: "pretrain" }).waitFor()
        // Why it ran is asked for when the panel opens.
        await page.getByRole("heading", { level: 3, name: "Why it ran" }).waitFor()
        assert.include(await page.locator(".panel").innerText(), "parameter learningRate: 0.001 -> 0.003")
        await shot("graph")
        await page.getByRole("link", { name: "Stages" }).click()
        await page.getByRole("cell", { name: "train-tokenizer" }).first().waitFor()
        await shot("stages")
        await page.getByRole("navigation", { name: "Views of the run" }).getByRole("link", { name: "Curves" }).click()
        await page.locator(".plot canvas").first().waitFor()
        await page.getByRole("link", { name: "Graph" }).click()

        await page.locator(".panel").getByRole("link", { name: "Lineage" }).first().click()
        await heading(page, /^Lineage of pretrain/)
        await page.locator(".node", { hasText: "sft.checkpoint" }).click()
        await shot("lineage")
        await page.getByRole("link", { name: "Walk here" }).click()
        await heading(page, /^Lineage of sft/)

        await page.getByRole("link", { name: "Diff", exact: true }).first().click()
        await heading(page, "Diff")
        await page.getByLabel("artifact").first().selectOption({ label: "ppo.1.policy · checkpoint" })
        await page.getByLabel("artifact").last().selectOption({ label: "ppo.1.policy · checkpoint" })
        await page.getByRole("heading", { name: "1 difference" }).waitFor()
        await page.getByRole("heading", { name: /^None that A saw|^Seen by A/ }).waitFor()
        await shot("diff")

        await page.getByRole("link", { name: "Tables" }).click()
        await page.getByRole("link", { name: /^score.1.scored/ }).click()
        await page.getByRole("row").nth(1).waitFor()
        await page.getByRole("button", { name: "Row 0, in full" }).click()
        await page
          .getByRole("region", { name: "Row 0 seen by" })
          .getByRole("link", { name: "ppo.1.policy" })
          .first()
          .waitFor()
        await shot("table")
        await page.getByLabel("Rows whose").selectOption("reward")
        await page.getByLabel("How to compare").selectOption("below")
        await page.getByLabel("With what").fill("-1000")
        await page.getByRole("button", { name: "Filter" }).click()
        await page.getByText(/^No row of the/).waitFor()

        await page.getByRole("link", { name: "Rollouts" }).click()
        await page.getByRole("link", { name: /^score.1.scored/ }).click()
        await page.getByRole("radio", { name: "KL" }).check()
        assert.isTrue(await page.getByRole("radio", { name: "advantage" }).isDisabled())
        await page.getByRole("checkbox", { name: "numbers" }).check()
        await page.locator(".token small").first().waitFor()
        await page.getByRole("link", { name: "Rollouts" }).click()
        await page.getByRole("link", { name: /^ppo.1.experience/ }).click()
        await page.getByRole("radio", { name: "advantage" }).check()
        await page.locator(".token.minus-6, .token.plus-6").first().waitFor()
        await shot("rollouts")

        await page.getByRole("link", { name: "Playground" }).click()
        await page.getByRole("link", { name: /^ppo.1.policy/ }).click()
        await page.getByLabel("Prompt").fill("The state of")
        await page.getByRole("button", { name: "Sample" }).click()
        await page.locator(".answer").nth(1).waitFor()
        await shot("playground")
      }))
  }

  it("is used by keys alone: to the content, from node to node, into one, and back", () =>
    visit("light", async (page) => {
      await page.goto(`${local.address}#/run/${runs[1]}`)
      await page.locator(".node").first().waitFor()
      await page.reload()
      await page.locator(".node").first().waitFor()
      await page.keyboard.press("Tab")
      assert.strictEqual(await page.evaluate("document.activeElement?.className"), "skip")
      await page.keyboard.press("Enter")
      assert.strictEqual(await page.evaluate("document.activeElement?.id"), "main")
      const here = () => page.evaluate<string | undefined>(`${focused} ?? undefined`)
      for (let i = 0; i < 20 && (await here()) === undefined; i++) await page.keyboard.press("Tab")
      const first = await here()
      assert.isDefined(first)
      await page.keyboard.press("ArrowRight")
      await page.locator(`[data-node]:focus:not([data-node=${JSON.stringify(first)}])`).waitFor()
      const second = await here()
      assert.isDefined(second)
      await page.keyboard.press("Enter")
      await page.locator(".panel").getByRole("heading", { level: 2, name: second!, exact: true }).waitFor()
      await page.keyboard.press("/")
      await page.keyboard.type("ppo.1")
      await page.keyboard.press("Enter")
      await page.locator('[data-node="ppo.1"]:focus').waitFor()
    }))

  it("verifies an artifact, follows that, and shows when and on what it was proven, in its lineage too", () =>
    visit("dark", async (page, shot) => {
      await page.getByRole("link", { name: "Verify" }).click()
      await page.getByRole("link", { name: /^sft.checkpoint/ }).click()
      await heading(page, /^Verify sft.checkpoint/)
      await page.getByRole("heading", { name: "Never verified" }).waitFor()
      await page.getByLabel("each").selectOption("0.05")
      await page.getByText(/ptmflow verify \w{12}.* --sample 5%$/).waitFor()
      await page.getByRole("button", { name: "Verify", exact: true }).click()
      await page.getByRole("progressbar").waitFor()
      await page.getByText("sft runs again").waitFor()
      assert.isTrue(await page.getByRole("button", { name: "Verifying…" }).isDisabled())
      await page.getByRole("button", { name: "Stop" }).click()
      await page.getByText("stopped", { exact: true }).waitFor()
      await page.getByRole("button", { name: "Verify", exact: true }).click()
      await page.getByRole("progressbar").waitFor()
      mayEnd.resolve()
      await page.getByRole("heading", { name: "Verified 1 time" }).waitFor()
      assert.match(await page.locator(".verified").last().innerText(), /proven[\s\S]*on 2 threads · by ana/)
      mayEnd = Promise.withResolvers<void>()
      mayEnd.resolve()
      found = {
        ...{ verdict: "unverifiable", sampled: { of: "updates", made: 2, total: 40, ranges: "1-2" } },
        reasons: [{ kind: "code", place: "train.ts", message: "code of train.ts changed in function step" }]
      }
      await page.getByRole("button", { name: "Verify", exact: true }).click()
      await page.getByRole("heading", { name: "Verified 2 times" }).waitFor()
      await page.getByText("code of train.ts changed in function step").first().waitFor()
      await shot("verify")
      await page.getByRole("main").getByRole("link", { name: "Lineage" }).click()
      await page.locator(".node", { hasText: "? checkpoint" }).waitFor()
      await page.locator(".panel").getByRole("link", { name: "not verifiable" }).waitFor()
      // Escape closes the panel, and goes back to the node.
      await page.locator(".panel").getByRole("button", { name: "Close" }).focus()
      await page.keyboard.press("Escape")
      await page.locator(".panel").waitFor({ state: "detached" })
      assert.isNotNull(await page.evaluate(focused))
    }))

  it("looks on for rows that a filter did not find in the time of one answer", async () => {
    const page = await browser.newPage()
    await page.route(/api\/tables\/.*offset=0.*value=/, async (route) => {
      const response = await route.fetch()
      await route.fulfill({ response, json: { ...((await response.json()) as TablePage), rows: [], next: 3 } })
    })
    await page.goto(`${local.address}#/table/score.1.scored?column=reward&operator=above&value=-1000`)
    await page.getByRole("button", { name: "Row 3, in full" }).waitFor()
    assert.isTrue(await page.getByRole("button", { name: "Previous" }).isEnabled())
    await page.close()
  })

  it("says that the server does not answer, keeps what was there, and goes on when it is there again", async () => {
    const begin = async (port: number) => {
      const own = Effect.runSync(Scope.make())
      const serving = serve({ host: "127.0.0.1", port, device: cpu({ threads: 1 }) })
      const { address } = await inStore(Effect.provideService(serving, Scope.Scope, own))
      return { address, end: () => Effect.runPromise(Scope.close(own, Exit.void)) }
    }
    const first = await begin(0)
    const page = await browser.newPage({ viewport: { width: 400, height: 800 } })
    await page.goto(`${first.address}#/runs`)
    await page.getByRole("link", { name: runs[1]! }).waitFor()
    await first.end()
    await page.getByRole("alert").getByText("ptmflow serve does not answer").waitFor()
    await page.getByRole("link", { name: runs[1]! }).waitFor()
    const second = await begin(Number(new URL(first.address).port))
    await page.getByRole("alert").waitFor({ state: "detached" })
    await page.getByRole("link", { name: runs[1]! }).click()
    await page.locator(".node").first().waitFor()
    await page.close()
    await second.end()
  })

  it("has no view that is wider than a narrow window, as one of text of twice the size is", async () => {
    const artifacts = await Promise.all(
      ["ppo.1.policy", "ppo.1.experience", "score.1.scored"].map(async (match) => {
        const { body } = await ask<RunArtifacts>(`api/runs/${runs[1]}/artifacts?match=${match}`)
        return encodeURIComponent(`${body.artifacts[0]!.key}:${body.artifacts[0]!.port}`)
      })
    )
    const [policy, experience, scored] = artifacts
    const views = [
      ...["runs", `run/${runs[1]}?stage=pretrain`, `run/${runs[1]}?tab=stages`, `curves/${runs[1]}?with=${runs[0]}`],
      ...[`lineage/${policy}`, `diff?a=${policy}&b=${policy}`, `verify/${policy}`, `table/${scored}`],
      ...[`rollouts/${experience}?by=advantage`, `play/${policy}`, "plan", "table"]
    ]
    const page = await browser.newPage({ viewport: { width: 400, height: 700 } })
    for (const view of views) {
      await page.goto("about:blank")
      await page.goto(`${local.address}#/${view}`)
      await page.getByRole("heading", { level: 1 }).first().waitFor()
      await page.getByText("Loading…").first().waitFor({ state: "detached" })
      assert.isAtMost(await page.evaluate<number>("document.documentElement.scrollWidth"), 400, view)
    }
    await page.close()
  })

  it("shows the plan of a pipeline before it ran, anew when its files change, and its run while that goes on", async () => {
    const other = await Effect.runPromise(open(path.join(folder, "planned")))
    const inOther = <A, E>(effect: Effect.Effect<A, E, Store | Scope.Scope>) =>
      inStore(Effect.provideService(effect, Store, other))
    let files = "as they are"
    let answer: Effect.Effect<Plan, PageError> = Effect.succeed(planOf("it never ran"))
    const planner: Planner = {
      file: "pipelines/loop.ts",
      fingerprint: () => files,
      plan: Effect.suspend(() => answer)
    }
    const { address } = await inOther(serve({ host: "127.0.0.1", port: 0, device: cpu({ threads: 1 }), planner }))
    await visit(
      "dark",
      async (page, shot) => {
        await page.getByRole("link", { name: "Pipeline" }).click()
        await page.locator(".node.tone-maybe", { hasText: "ppo.1" }).click()
        assert.include(await page.locator(".panel").innerText(), "because of pretrain: it never ran")
        await page.locator(".panel").getByRole("link", { name: "pretrain" }).first().click()
        await page.locator(".panel .tone-due").waitFor()
        await shot("plan")
        answer = Effect.succeed(planOf("parameter steps: 1 -> 2"))
        files = "changed"
        await page.locator(".panel", { hasText: "parameter steps: 1 -> 2" }).waitFor()
        answer = Effect.fail(new PageError({ status: 500, place: "", message: "it does not compile", next: "" }))
        files = "broken"
        await page.getByRole("alert").filter({ hasText: "it does not compile" }).waitFor()
        assert.isAbove(await page.locator(".node").count(), 1, "the last plan stays")

        const { add, end } = await inOther(beginRun("2026-11-24T09-40-00-000003", loop(2, 1)))
        await page.getByRole("link", { name: "The run that goes on" }).waitFor()
        add({ _tag: "Started", stage: "pretrain", time: Date.now(), key: "k", reasons: ["it never ran"] })
        await page.locator(".node.tone-running", { hasText: "pretrain" }).waitFor()
        answer = Effect.succeed(planOf("code of train.ts changed"))
        await Effect.runPromise(end)
        await page.locator(".panel", { hasText: "code of train.ts changed" }).waitFor()
        answer = Effect.succeed(planOf("of another opinion"))
        await page.getByRole("button", { name: "Plan again" }).click()
        await page.locator(".panel", { hasText: "of another opinion" }).waitFor()
      },
      address
    )
  })

  it("shows a thousand stages put together, and each, and follows them while they run", () =>
    visit("dark", async (page, shot) => {
      const stages = loop(20, 25)
      const run = "2026-11-24T09-30-00-000002"
      const { add, end } = await inStore(beginRun(run, stages))
      await page.goto(`${local.address}#/run/${run}`)
      await page.locator(".node").first().waitFor()
      assert.isAtMost(await page.locator(".node").count(), 120)
      const time = Date.now()
      add({ _tag: "Started", stage: "pretrain", time, key: "k", reasons: ["never ran"] })
      add({ _tag: "Progress", stage: "pretrain", time, seconds: 1, step: 25, steps: 100, metrics: { loss: 3.25 } })
      await page.locator(".node.tone-running", { hasText: "25 of 100" }).waitFor()
      await page.getByLabel("Show").selectOption("none")
      await page
        .locator(".node")
        .nth(stages.length - 1)
        .waitFor({ state: "attached" })
      assert.strictEqual(await page.locator(".node").count(), stages.length)
      await shot("thousand")
      await page.getByRole("link", { name: "Curves" }).last().click()
      await page.getByRole("cell", { name: "3.25" }).waitFor()
      add({ _tag: "Progress", stage: "pretrain", time, seconds: 2, step: 50, steps: 100, metrics: { loss: 2.5 } })
      await page.locator(".plot .figure", { hasText: "2.5" }).waitFor()
      await Effect.runPromise(end)
      await page.locator(".head .state", { hasText: "succeeded" }).waitFor()
      await shot("live")
    }))
})
