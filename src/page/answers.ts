/**
 * What the page's server answers, as schemas: the JSON of every address under /api.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { LogEntry } from "../lineage/run-log.ts"

/** Something that cannot be done: `place` names what of the request it is about, `next` says what can be. */
export const Refusal = Schema.TaggedStruct("Refusal", {
  status: Schema.Number,
  place: Schema.String,
  message: Schema.String,
  next: Schema.String
})
export type Refusal = typeof Refusal.Type

const Metrics = Schema.Record(Schema.String, Schema.NullOr(Schema.Number))

/** An artifact in short: `name` is `stage.port`. */
export const ArtifactView = Schema.Struct({
  name: Schema.String,
  kind: Schema.String,
  digest: Schema.String,
  key: Schema.String,
  port: Schema.String,
  /** Of a table its rows; of others null. */
  rows: Schema.NullOr(Schema.Number),
  columns: Schema.Array(Schema.String),
  bytes: Schema.Number
})
export type ArtifactView = typeof ArtifactView.Type

/** What a stage is at in a run; the first three: what a plan says of it. */
export const StageState = Schema.Literals([
  "due",
  "maybe",
  "reusable",
  "pending",
  "waiting",
  "running",
  "reused",
  "ran",
  "failed",
  "skipped",
  "stopped"
])
export type StageState = typeof StageState.Type

/** A stage of a run; `time` is when its state began, `inputs` the stages that it takes from, by port. */
export const StageView = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  state: StageState,
  inputs: Schema.Record(Schema.String, Schema.Struct({ stage: Schema.String, port: Schema.String })),
  key: Schema.NullOr(Schema.String),
  step: Schema.NullOr(Schema.Number),
  steps: Schema.NullOr(Schema.Number),
  seconds: Schema.NullOr(Schema.Number),
  time: Schema.NullOr(Schema.Number),
  message: Schema.NullOr(Schema.String),
  metrics: Metrics
})
export type StageView = typeof StageView.Type

/** A stage of a run in full. `made` is the run that made its result, under what name, when and on which device; null while there is none. */
export const StageDetail = Schema.Struct({
  ...StageView.fields,
  reasons: Schema.Array(Schema.String),
  artifacts: Schema.Array(ArtifactView),
  params: Schema.Json,
  made: Schema.NullOr(
    Schema.Struct({
      run: Schema.String,
      stage: Schema.String,
      time: Schema.Number,
      device: Schema.NullOr(Schema.String)
    })
  )
})
export type StageDetail = typeof StageDetail.Type

/** Outputs of a run's stages, of `total` that were asked for. */
export const RunArtifacts = Schema.Struct({
  run: Schema.String,
  total: Schema.Number,
  artifacts: Schema.Array(ArtifactView)
})
export type RunArtifacts = typeof RunArtifacts.Type

const RunState = Schema.Literals(["running", "succeeded", "failed", "interrupted"])

/** A run in a list. `time` is milliseconds since 1970. */
export const RunSummary = Schema.Struct({
  run: Schema.String,
  pipeline: Schema.String,
  state: RunState,
  time: Schema.Number,
  seconds: Schema.NullOr(Schema.Number),
  settings: Schema.Array(Schema.Struct({ path: Schema.String, value: Schema.String })),
  stages: Schema.Number,
  ran: Schema.Number,
  failed: Schema.Number
})
export type RunSummary = typeof RunSummary.Type

/** Runs, newest first, from number `offset` on, of `total`. */
export const Runs = Schema.Struct({
  offset: Schema.Number,
  total: Schema.Number,
  runs: Schema.Array(RunSummary)
})
export type Runs = typeof Runs.Type

/** A run with its stages, each after its inputs. `next` is where its events go on from. */
export const Run = Schema.Struct({
  ...RunSummary.fields,
  detail: Schema.Array(StageView),
  outputs: Schema.Record(Schema.String, Schema.Struct({ stage: Schema.String, port: Schema.String })),
  next: Schema.Number
})
export type Run = typeof Run.Type

/** What would become of a stage if its pipeline ran now: `state` is `due`, `maybe` or `reusable`, `cause` the first stage that is why where only such before it are. */
export const PlanStage = Schema.Struct({
  ...StageView.fields,
  reasons: Schema.Array(Schema.String),
  cause: Schema.NullOr(Schema.Struct({ stage: Schema.String, message: Schema.String })),
  batches: Schema.NullOr(Schema.Struct({ of: Schema.Number, made: Schema.Literals(["all", "changed"]) }))
})
export type PlanStage = typeof PlanStage.Type

/**
 * The pipeline that the server was told of: its plan as of `planned` (milliseconds since 1970), or why there is none. `run` is the run of it that goes on,
 * `version` grows with every change, `seconds` is what stages that run, or may run, took last time. Without a pipeline `file` is null.
 */
export const PlanView = Schema.Struct({
  file: Schema.NullOr(Schema.String),
  pipeline: Schema.String,
  version: Schema.Number,
  busy: Schema.Boolean,
  planned: Schema.NullOr(Schema.Number),
  seconds: Schema.Number,
  run: Schema.NullOr(Schema.String),
  error: Schema.NullOr(Schema.Struct({ message: Schema.String, next: Schema.String })),
  stages: Schema.Array(PlanStage)
})
export type PlanView = typeof PlanView.Type

/** The values of one metric of one stage: [step (null where the stage counts none), steps, value, milliseconds since 1970]. */
export const Series = Schema.Struct({
  stage: Schema.String,
  metric: Schema.String,
  points: Schema.Array(
    Schema.Tuple([Schema.NullOr(Schema.Number), Schema.NullOr(Schema.Number), Schema.Number, Schema.Number])
  )
})
export type Series = typeof Series.Type

/** All metrics of a run. */
export const Curves = Schema.Struct({ run: Schema.String, series: Schema.Array(Series), next: Schema.Number })
export type Curves = typeof Curves.Type

/** One event of `/api/runs/<run>/events`. */
export const LiveEvent = LogEntry

/** A verification of a stage: what it found, when, on what and by whom. `difference` is the first one; `sampled` says what ran again where not all did. */
export const VerifiedView = Schema.Struct({
  stage: Schema.String,
  operator: Schema.String,
  verdict: Schema.Literals(["proven", "differs", "unverifiable", "failed"]),
  time: Schema.Number,
  seconds: Schema.Number,
  device: Schema.NullOr(Schema.String),
  numerics: Schema.NullOr(Schema.String),
  user: Schema.String,
  sampled: Schema.NullOr(Schema.String),
  outputs: Schema.Array(
    Schema.Struct({
      port: Schema.String,
      recorded: Schema.String,
      found: Schema.String,
      difference: Schema.NullOr(Schema.String)
    })
  ),
  /** The first update that did not learn what is recorded. */
  difference: Schema.NullOr(Schema.String),
  reasons: Schema.Array(Schema.String),
  failure: Schema.NullOr(Schema.String)
})
export type VerifiedView = typeof VerifiedView.Type

/** A node of a lineage: an artifact and the stage that made it. `distance` from the root is negative for what it came from. */
export const LineageNodeView = Schema.Struct({
  ...ArtifactView.fields,
  id: Schema.String,
  stage: Schema.String,
  operator: Schema.String,
  pipeline: Schema.String,
  run: Schema.String,
  time: Schema.Number,
  seconds: Schema.Number,
  device: Schema.NullOr(Schema.String),
  /** The newest verification of the stage as it gave this. */
  verified: Schema.NullOr(VerifiedView),
  distance: Schema.Number,
  params: Schema.Json,
  metrics: Metrics,
  sources: Schema.Array(Schema.Struct({ name: Schema.String, digest: Schema.String })),
  /** Nodes that it was made from, by port. */
  inputs: Schema.Record(Schema.String, Schema.String),
  /** Whether there is more beyond, that is not in the answer. */
  more: Schema.Boolean
})
export type LineageNodeView = typeof LineageNodeView.Type

/** What an artifact came from and what came from it, so many stages far. */
export const Lineage = Schema.Struct({
  root: Schema.String,
  depth: Schema.Number,
  nodes: Schema.Array(LineageNodeView)
})
export type Lineage = typeof Lineage.Type

/** What differs: `from` in the first, `to` in the second. `stage` is where (the second's, and the first's where it has another name). */
export const ChangeView = Schema.Struct({
  kind: Schema.String,
  stage: Schema.String,
  place: Schema.String,
  from: Schema.NullOr(Schema.String),
  to: Schema.NullOr(Schema.String),
  message: Schema.String
})
export type ChangeView = typeof ChangeView.Type

/** Two artifacts, the fewest differences that explain that they are not the same, and their metrics. */
export const Diff = Schema.Struct({
  a: ArtifactView,
  b: ArtifactView,
  same: Schema.Boolean,
  causes: Schema.Array(ChangeView),
  metrics: Schema.Array(
    Schema.Struct({ name: Schema.String, a: Schema.NullOr(Schema.Number), b: Schema.NullOr(Schema.Number) })
  )
})
export type Diff = typeof Diff.Type

/** Rows of a table. A cell longer than the limit is cut; `row` is the row's number in the table. */
export const TablePage = Schema.Struct({
  of: ArtifactView,
  columns: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.String })),
  rows: Schema.Array(Schema.Struct({ row: Schema.Number, cells: Schema.Array(Schema.Json) })),
  /** Rows of the table. */
  total: Schema.Number,
  /** The number of the row that the next page begins at; null at the end. */
  next: Schema.NullOr(Schema.Number),
  /** Rows that were looked at, and record batches that were read, of how many. */
  scanned: Schema.Number,
  batches: Schema.Struct({ read: Schema.Number, total: Schema.Number })
})
export type TablePage = typeof TablePage.Type

const Numbers = Schema.Struct({ count: Schema.Number, ranges: Schema.String })

/**
 * Who saw a row, nearest first, of `total`: the checkpoints whose updates learned from it, itself or what it became, or that took one that had (`through`). Of those far off
 * it is not looked up in which updates. `unknown` are tables that may have it in them. `ranges` are like `3-7,9`, rows from 0 and updates from 1.
 */
export const RowSeen = Schema.Struct({
  of: ArtifactView,
  row: Schema.Number,
  total: Schema.Number,
  checkpoints: Schema.Array(
    Schema.Struct({
      artifact: ArtifactView,
      operator: Schema.String,
      run: Schema.String,
      learned: Schema.Array(
        Schema.Struct({
          port: Schema.String,
          rows: Schema.NullOr(Numbers),
          updates: Schema.NullOr(Numbers),
          of: Schema.NullOr(Schema.Number)
        })
      ),
      through: Schema.Array(ArtifactView)
    })
  ),
  became: Schema.Array(Schema.Struct({ artifact: ArtifactView, rows: Numbers })),
  unknown: Schema.Array(ArtifactView)
})
export type RowSeen = typeof RowSeen.Type

const TablesSeen = Schema.Array(Schema.Struct({ artifact: ArtifactView, rows: Numbers }))

/** The rows, by table, that the first of two checkpoints saw and the second did not, and those of the second alone: of the tables nearest to files where these are known. */
export const RowsApart = Schema.Struct({ a: TablesSeen, b: TablesSeen })
export type RowsApart = typeof RowsApart.Type

/** A token of an answer; what the table does not have is null. KL is log-probability less the reference's, in nats; reward, value and advantage are the update's. */
export const TokenView = Schema.Struct({
  text: Schema.String,
  logProbability: Schema.NullOr(Schema.Number),
  kl: Schema.NullOr(Schema.Number),
  reward: Schema.NullOr(Schema.Number),
  value: Schema.NullOr(Schema.Number),
  advantage: Schema.NullOr(Schema.Number)
})

/** An answer with its tokens; null where the table has none. */
export const AnswerView = Schema.Struct({
  row: Schema.Number,
  answer: Schema.String,
  reward: Schema.NullOr(Schema.Number),
  tokens: Schema.NullOr(Schema.Array(TokenView))
})
export type AnswerView = typeof AnswerView.Type

/** Rollouts by prompt, those of rows that follow each other together. `has` says which columns the table has: `score` is an answer's reward, the others are of its tokens. */
export const Rollouts = Schema.Struct({
  of: ArtifactView,
  has: Schema.Struct({
    tokens: Schema.Boolean,
    logProbability: Schema.Boolean,
    kl: Schema.Boolean,
    reward: Schema.Boolean,
    value: Schema.Boolean,
    advantage: Schema.Boolean,
    score: Schema.Boolean
  }),
  prompts: Schema.Array(Schema.Struct({ prompt: Schema.String, answers: Schema.Array(AnswerView) })),
  total: Schema.Number,
  next: Schema.NullOr(Schema.Number)
})
export type Rollouts = typeof Rollouts.Type

/** The verifications of the stage that gave an artifact, newest first, of `total`; `command` verifies it without the page. */
export const Verifications = Schema.Struct({
  of: ArtifactView,
  total: Schema.Number,
  verified: Schema.Array(VerifiedView),
  command: Schema.String
})
export type Verifications = typeof Verifications.Type

/**
 * The verification that goes on, or was the last: of which artifact, how many stages deep (null: back to the files), of what share of them (null: whole). `stage` is the one that runs
 * again, `found` what was found so far. `version` grows with every change.
 */
export const Verifying = Schema.Struct({
  version: Schema.Number,
  state: Schema.Literals(["none", "running", "done", "failed", "stopped"]),
  of: Schema.NullOr(ArtifactView),
  depth: Schema.NullOr(Schema.Number),
  sample: Schema.NullOr(Schema.Number),
  began: Schema.NullOr(Schema.Number),
  stage: Schema.NullOr(Schema.String),
  step: Schema.NullOr(Schema.Number),
  steps: Schema.NullOr(Schema.Number),
  found: Schema.Array(VerifiedView),
  error: Schema.NullOr(Schema.Struct({ message: Schema.String, next: Schema.String }))
})
export type Verifying = typeof Verifying.Type

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** What `POST /api/sample` takes. */
export const SampleRequest = Schema.Struct({
  checkpoint: Schema.String,
  prompt: Schema.String,
  tokens: whole(1, 4096),
  temperature: Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 10 })),
  topK: whole(0, 1_000_000),
  topP: Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true })),
  seed: Schema.Int,
  count: whole(1, 16)
})
export type SampleRequest = typeof SampleRequest.Type

/** What `POST /api/verify` takes. */
export const VerifyRequest = Schema.Struct({
  artifact: Schema.String,
  depth: Schema.NullOr(whole(1, 1_000_000)),
  sample: Schema.NullOr(Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true })))
})
export type VerifyRequest = typeof VerifyRequest.Type

/** What it gives. `limit` is how many tokens there was room for. */
export const Sampled = Schema.Struct({
  checkpoint: Schema.String,
  prompt: Schema.String,
  limit: Schema.Number,
  seconds: Schema.Number,
  completions: Schema.Array(
    Schema.Struct({
      text: Schema.String,
      ended: Schema.Boolean,
      tokens: Schema.Array(Schema.Struct({ text: Schema.String, logProbability: Schema.Number }))
    })
  )
})
export type Sampled = typeof Sampled.Type
