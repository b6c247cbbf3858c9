/**
 * Rollouts read side by side: the answers to each prompt, token by token.
 *
 * @since 0.1.0
 */
import { useState } from "preact/hooks"
import type { AnswerView, Rollouts } from "../answers.ts"
import { useAnswer } from "./answer.ts"
import { Choose, Ways } from "./artifact.tsx"
import { Answered } from "./notice.tsx"
import { figure } from "./quantity.ts"
import { href, route, show } from "./route.ts"
import { Legend, type Scale, scaleOf, Tokens } from "./tokens.tsx"

type Measure = "logProbability" | "kl" | "reward" | "value" | "advantage"

/** Surprise is shown, which is more for what is less likely: a pale token was expected. */
const measures: ReadonlyArray<readonly [Measure, string, string]> = [
  ["logProbability", "log-probability", "Log-probability of the token as it was drawn, in nats: strong is unlikely"],
  ["kl", "KL", "Log-probability under the policy less that under the reference, in nats"],
  ["reward", "reward", "What the token was worth: less for KL, and the answer's reward at its last token"],
  ["value", "value", "What the critic expected from here on"],
  ["advantage", "advantage", "How much better than expected it went: what the policy was moved by"]
]

const PAGE = 24

type Token = NonNullable<AnswerView["tokens"]>[number]

const titleOf = (token: Token): string =>
  measures
    .flatMap(([measure, name]) => (token[measure] === null ? [] : [`${name} ${figure(token[measure])}`]))
    .join("\n")

const Answer = (props: {
  readonly answer: AnswerView
  readonly measure: Measure
  readonly scale: Scale
  readonly numbers: boolean
}) => {
  const { answer, measure, numbers, scale } = props
  return (
    <article class="answer" aria-label={`Answer, row ${answer.row}`}>
      <header class="faint">
        row {answer.row}
        <span class="spread" />
        {answer.reward === null ? null : (
          <span>
            reward <b class={answer.reward < 0 ? "low" : "high"}>{figure(answer.reward)}</b>
          </span>
        )}
      </header>
      {answer.tokens === null ? (
        <p class="tokens">{answer.answer}</p>
      ) : (
        <Tokens
          tokens={answer.tokens.map((token) => ({ text: token.text, value: token[measure], title: titleOf(token) }))}
          scale={scale}
          numbers={numbers}
        />
      )}
    </article>
  )
}

const missingNote = (has: Rollouts["has"]): string => {
  if (!has.tokens) return "This table has no tokens: answers are shown as text."
  const without = measures.filter(([measure]) => !has[measure]).map(([, name]) => name)
  return without.length === 0
    ? ""
    : `This table does not have ${without.join(", ")}. What ppo gives as experience has all of them${has.score ? "" : ", what score gives has KL"}.`
}

const Read = () => {
  const { id, query } = route.value
  const offset = Number(query["offset"] ?? 0)
  const asked = useAnswer<Rollouts>(`rollouts/${encodeURIComponent(id)}?offset=${offset}&limit=${PAGE}`)
  const [numbers, setNumbers] = useState(false)
  return (
    <Answered asked={asked}>
      {({ has, next, of, prompts, total }) => {
        const first = measures.find(([measure]) => has[measure])?.[0] ?? "logProbability"
        const measure = measures.find(([name]) => name === query["by"] && has[name])?.[0] ?? first
        const name = measures.find(([each]) => each === measure)![1]
        const values = prompts.flatMap(({ answers }) =>
          answers.flatMap(({ tokens }) => (tokens ?? []).flatMap((token) => token[measure] ?? []))
        )
        const scale = scaleOf(name, values)
        return (
          <>
            <header class="head">
              <h1>{of.name}</h1>
              <span class="faint" role="status">
                rows {offset} to {Math.min(offset + PAGE, total) - 1} of {total.toLocaleString("en")}
              </span>
              <span class="spread" />
              <Ways artifact={of} except="rollouts" />
            </header>
            <div class="bar">
              <fieldset class="choice">
                <legend class="hidden">Colour by</legend>
                {measures.map(([each, words, title]) => (
                  <label key={each} title={has[each] ? title : `${of.name} has no ${words}`}>
                    <input
                      type="radio"
                      name="by"
                      checked={each === measure && has[each]}
                      disabled={!has[each]}
                      onChange={() => show({ by: each })}
                    />{" "}
                    {words}
                  </label>
                ))}
              </fieldset>
              <label>
                <input
                  type="checkbox"
                  checked={numbers}
                  onChange={(event) => setNumbers(event.currentTarget.checked)}
                />{" "}
                numbers
              </label>
              {values.length === 0 ? null : <Legend scale={scale} />}
              <span class="spread" />
              <span class="faint">{missingNote(has)}</span>
            </div>
            <div class={prompts.every(({ answers }) => answers.length === 1) ? "prompts" : ""}>
              {prompts.map(({ answers, prompt }) => (
                <section key={answers[0]!.row} class="prompt" aria-label="Prompt">
                  <p class="text">{prompt}</p>
                  <div class="answers">
                    {answers.map((answer) => (
                      <Answer key={answer.row} answer={answer} measure={measure} scale={scale} numbers={numbers} />
                    ))}
                  </div>
                </section>
              ))}
            </div>
            <nav class="pages" aria-label="Pages of answers">
              <button
                type="button"
                disabled={offset === 0}
                onClick={() => show({ offset: String(Math.max(offset - PAGE, 0)) })}
              >
                Previous
              </button>
              <button type="button" disabled={next === null} onClick={() => show({ offset: String(next) })}>
                Next
              </button>
            </nav>
          </>
        )
      }}
    </Answered>
  )
}

/** The view of rollouts; without a table, the choice of one. */
export const RolloutsView = () =>
  route.value.id === "" ? (
    <Choose
      title="Rollouts"
      columns="prompt,answer"
      to={(reference) => href("rollouts", reference)}
      nothing="No stage of this run has given answers to prompts yet."
    />
  ) : (
    <Read key={route.value.id} />
  )
