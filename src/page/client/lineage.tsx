/**
 * The lineage of an artifact: what it came from to the left, what came from it to the right; taking a node shows it, and one walks on from there.
 *
 * @since 0.1.0
 */
import type { Lineage, LineageNodeView } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { about, Choose, Ways } from "./artifact.tsx"
import { closing, Graph, type GraphNode } from "./graph.tsx"
import { Answered } from "./notice.tsx"
import { Parameters } from "./parameters.tsx"
import { counted, duration, figure, moment } from "./quantity.ts"
import { go, href, route, show } from "./route.ts"
import { Verdict, verdictSign, verdictWords } from "./verdict.tsx"

/** What is chosen where nothing is: without it, that is the artifact that the lineage is of. */
const NONE = "none"

const close = () => show({ node: NONE })

const nodeOf = (node: LineageNodeView, root: string): GraphNode => ({
  id: node.id,
  label: node.name,
  note: `${node.verified === null ? "" : `${verdictSign(node.verified)} `}${node.kind}${node.id === root ? " · here" : ""}${node.more ? " · more beyond" : ""}`,
  tone: `kind-${["table", "checkpoint", "tokenizer", "report"].includes(node.kind) ? node.kind : "other"}`,
  parts: [],
  title: `${node.name}, ${about(node)}, made by ${node.operator}${node.verified === null ? "" : `, ${verdictWords(node.verified)}`}${node.more ? ", with more beyond" : ""}`
})

const Detail = ({ node, here }: { readonly node: LineageNodeView; readonly here: LineageNodeView }) => (
  <aside class="panel" aria-label={`Artifact ${node.name}`}>
    <header>
      <h2>{node.name}</h2>
      <span class="spread" />
      <button type="button" aria-label="Close" onClick={close}>
        ×
      </button>
    </header>
    <p class="faint">{about(node)}</p>
    <p class="actions">
      {node.id === here.id ? null : (
        <>
          <a class="button" href={href("lineage", node.id, { depth: route.value.query["depth"] })}>
            Walk here
          </a>{" "}
          <a class="button" href={href("diff", "", { a: here.id, b: node.id })}>
            Diff with {here.name}
          </a>
        </>
      )}
    </p>
    <Ways artifact={node} except="lineage" />
    <dl>
      <dt>operator</dt>
      <dd class="code">{node.operator}</dd>
      <dt>run</dt>
      <dd>
        <a class="code" href={href("run", node.run, { stage: node.stage })}>
          {node.run}
        </a>
      </dd>
      <dt>made</dt>
      <dd>
        {moment(node.time)}, in {duration(node.seconds)}
      </dd>
      {node.device === null ? null : (
        <>
          <dt>on</dt>
          <dd>{node.device}</dd>
        </>
      )}
      {node.verified === null ? null : (
        <>
          <dt>verified</dt>
          <dd>
            <a href={href("verify", node.id)}>
              <Verdict verified={node.verified} />
            </a>{" "}
            {moment(node.verified.time)}
            {node.verified.device === null ? "" : `, on ${node.verified.device}`}
          </dd>
        </>
      )}
      <dt>digest</dt>
      <dd class="code wrap">{node.digest}</dd>
    </dl>
    {Object.keys(node.metrics).length === 0 ? null : (
      <>
        <h3>Metrics</h3>
        <table class="figures">
          <tbody>
            {Object.entries(node.metrics).map(([name, each]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="number">{figure(each)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </>
    )}
    <Parameters json={node.params} />
    {node.sources.length === 0 ? null : (
      <>
        <h3>{counted(node.sources.length, "file")} read</h3>
        <ul class="plain scroll-list">
          {node.sources.map(({ digest, name }) => (
            <li key={name}>
              {name} <span class="code faint">{digest.slice(0, 12)}</span>
            </li>
          ))}
        </ul>
      </>
    )}
  </aside>
)

const DEPTHS = [1, 2, 3, 5, 10, 50]

const Walk = () => {
  const { id, query } = route.value
  const depth = query["depth"] ?? "3"
  const asked = useAnswer<Lineage>(`lineage/${encodeURIComponent(id)}?depth=${depth}`)
  return (
    <Answered asked={asked}>
      {({ nodes, root }) => {
        const here = nodes.find((node) => node.id === root)!
        const chosen = query["node"] ?? root
        const node = nodes.find((each) => each.id === chosen)
        const edges = nodes.flatMap((each) => Object.values(each.inputs).map((from) => [from, each.id] as const))
        const before = nodes.filter(({ distance }) => distance < 0).length
        return (
          <>
            <header class="head">
              <h1>
                Lineage of {here.name} <span class="code faint">{here.digest.slice(0, 12)}</span>
              </h1>
              <span class="faint" role="status">
                came from {before}, gave {nodes.length - before - 1}
                {nodes.some(({ more }) => more) ? ", and there is more" : ""}
              </span>
              <span class="spread" />
              <Ways artifact={here} except="lineage" />
            </header>
            {/* biome-ignore lint/a11y/noStaticElementInteractions: what is in it is what is used */}
            <div class="split" onKeyDown={closing(close)}>
              <Graph
                label={`lineage of ${here.name}`}
                nodes={nodes.map((each) => nodeOf(each, root))}
                edges={edges}
                chosen={chosen}
                onChoose={(taken) =>
                  taken === chosen && taken !== root ? go(href("lineage", taken, { depth })) : show({ node: taken })
                }
              >
                <label>
                  Stages each way{" "}
                  <select value={depth} onChange={(event) => show({ depth: event.currentTarget.value })}>
                    {DEPTHS.map((each) => (
                      <option key={each} value={String(each)}>
                        {each}
                      </option>
                    ))}
                  </select>
                </label>
              </Graph>
              {node === undefined ? null : <Detail node={node} here={here} />}
            </div>
          </>
        )
      }}
    </Answered>
  )
}

/** The view of a lineage; without an artifact, the choice of one. */
export const LineageView = () =>
  route.value.id === "" ? (
    <Choose
      title="Lineage"
      to={(reference) => href("lineage", reference)}
      nothing="No stage of this run has given anything yet."
    />
  ) : (
    <Walk />
  )
