/**
 * Artifacts: what can be done with one, and how one is chosen.
 *
 * @since 0.1.0
 */
import { useState } from "preact/hooks"
import type { ArtifactView, RunArtifacts, Runs } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { Answered, Empty } from "./notice.tsx"
import { bytes, counted } from "./quantity.ts"
import { href } from "./route.ts"

/** The address of an artifact that stays its own, whatever is run later. */
export const referenceOf = ({ key, port }: Pick<ArtifactView, "key" | "port">): string => `${key}:${port}`

/** Whether a table has answers to prompts. */
export const hasAnswers = ({ columns }: ArtifactView): boolean =>
  columns.includes("prompt") && columns.includes("answer")

/** What there is to say of it in a few words. */
export const about = (artifact: ArtifactView): string =>
  [artifact.kind, artifact.rows === null ? "" : counted(artifact.rows, "row"), bytes(artifact.bytes)]
    .filter((word) => word !== "")
    .join(" · ")

/** Where one can go from an artifact. */
export const Ways = ({ artifact, except = "" }: { readonly artifact: ArtifactView; readonly except?: string }) => {
  const id = referenceOf(artifact)
  const ways = [
    ["lineage", "Lineage", true],
    ["table", "Rows", artifact.kind === "table"],
    ["rollouts", "Answers", hasAnswers(artifact)],
    ["play", "Playground", artifact.kind === "checkpoint"]
  ] as const
  return (
    <span class="ways">
      {ways.map(([view, name, may]) =>
        may && view !== except ? (
          <a key={view} href={href(view, id)}>
            {name}
          </a>
        ) : null
      )}
      {except === "verify" ? null : <a href={href("verify", id)}>Verify</a>}
      {except === "diff" ? null : <a href={href("diff", "", { a: id })}>Diff</a>}
    </span>
  )
}

/** The outputs of a run's stages that may be meant. */
export const Choose = (props: {
  readonly title: string
  /** Of this kind only; any where it is empty. */
  readonly kind?: string
  /** Only tables that have these columns. */
  readonly columns?: string
  readonly to: (reference: string) => string
  readonly nothing: string
}) => {
  const runs = useAnswer<Runs>("runs?limit=100")
  const [chosen, setChosen] = useState("")
  const run = chosen || runs.value?.runs[0]?.run || ""
  const [match, setMatch] = useState("")
  const query = new URLSearchParams({ kind: props.kind ?? "", columns: props.columns ?? "", match })
  const asked = useAnswer<RunArtifacts>(run === "" ? "" : `runs/${run}/artifacts?${query}`)
  return (
    <>
      <header class="head">
        <h1>{props.title}</h1>
        <span class="spread" />
        <input
          type="search"
          placeholder="Name"
          aria-label="Part of the name"
          value={match}
          onInput={(event) => setMatch(event.currentTarget.value)}
        />
        <label>
          of run{" "}
          <select value={run} onChange={(event) => setChosen(event.currentTarget.value)}>
            {(runs.value?.runs ?? []).map((each) => (
              <option key={each.run} value={each.run}>
                {each.run} · {each.pipeline}
              </option>
            ))}
          </select>
        </label>
      </header>
      <Answered asked={runs}>
        {({ total }) => (total === 0 ? <Empty>Nothing has run in this store yet.</Empty> : null)}
      </Answered>
      <Answered asked={asked}>
        {({ artifacts, total }) =>
          artifacts.length === 0 ? (
            <Empty>{match === "" ? props.nothing : `None has ${match} in its name.`}</Empty>
          ) : (
            <>
              <ul class="choices">
                {artifacts.map((artifact) => (
                  <li key={artifact.name}>
                    <a href={props.to(referenceOf(artifact))}>
                      <b>{artifact.name}</b>
                      <span class="faint">{about(artifact)}</span>
                      <span class="code faint">{artifact.digest.slice(0, 12)}</span>
                    </a>
                  </li>
                ))}
              </ul>
              {total === artifacts.length ? null : (
                <p class="faint">
                  {artifacts.length} of {total.toLocaleString("en")}: a part of the name finds the others.
                </p>
              )}
            </>
          )
        }
      </Answered>
    </>
  )
}
