/**
 * The checkpoints that learned from a row of a table.
 *
 * @since 0.1.0
 */
import type { ArtifactView, RowSeen } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { referenceOf } from "./artifact.tsx"
import { Answered } from "./notice.tsx"
import { counted } from "./quantity.ts"
import { href } from "./route.ts"

const Named = ({ artifact }: { readonly artifact: ArtifactView }) => (
  <a href={href(artifact.kind === "table" ? "table" : "lineage", referenceOf(artifact))}>{artifact.name}</a>
)

const List = ({ seen }: { readonly seen: RowSeen }) => (
  <>
    {seen.checkpoints.length === 0 ? <p>No checkpoint learned from it.</p> : null}
    <ul class="plain">
      {seen.checkpoints.map(({ artifact, learned, run, through }) => (
        <li key={referenceOf(artifact)}>
          <b>
            <Named artifact={artifact} />
          </b>{" "}
          <span class="faint">
            {artifact.digest.slice(0, 12)} ·{" "}
            <a class="code" href={href("run", run, { stage: artifact.name.slice(0, -artifact.port.length - 1) })}>
              {run}
            </a>
          </span>
          {learned.map(({ of, port, rows, updates }) => (
            <p key={port} class="faint">
              {rows === null || updates === null
                ? `learned from it, through ${port}`
                : `learned from ${counted(rows.count, "row")} of ${port} (${rows.ranges}), in ${updates.count} of ${counted(of ?? 0, "update")}: ${updates.ranges}`}
            </p>
          ))}
          {through.length === 0 ? null : (
            <p class="faint">
              through{" "}
              {through.map((each, i) => (
                <>
                  {i > 0 ? ", " : ""}
                  <Named artifact={each} />
                </>
              ))}
            </p>
          )}
        </li>
      ))}
    </ul>
    {seen.total > seen.checkpoints.length ? (
      <p class="faint">
        {seen.checkpoints.length} of {counted(seen.total, "checkpoint")}, the nearest ones.
      </p>
    ) : null}
    {seen.became.length === 0 ? null : (
      <p class="faint">
        It became{" "}
        {seen.became.map(({ artifact, rows }, i) => (
          <>
            {i > 0 ? ", " : ""}
            <Named artifact={artifact} /> {rows.count === 1 ? "row" : "rows"} {rows.ranges}
          </>
        ))}
        .
      </p>
    )}
    {seen.unknown.length === 0 ? null : (
      <p class="faint">
        It may be in{" "}
        {seen.unknown.map((artifact, i) => (
          <>
            {i > 0 ? ", " : ""}
            <Named artifact={artifact} />
          </>
        ))}
        , of which it is not recorded where their rows come from.
      </p>
    )}
  </>
)

/** Who saw row `row` of a table. */
export const Seen = ({ of, row }: { readonly of: ArtifactView; readonly row: number }) => (
  <section class="seen" aria-label={`Row ${row} seen by`}>
    <h3>Row {row}, seen by</h3>
    <Answered asked={useAnswer<RowSeen>(`seen/${encodeURIComponent(referenceOf(of))}?row=${row}`)}>
      {(seen) => (seen.row === row ? <List seen={seen} /> : null)}
    </Answered>
  </section>
)
