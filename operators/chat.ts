/**
 * Dialogues as token sequences in which the assistant's answers are trained.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Operator from "../src/operator/operator.ts"
import * as Table from "../src/table/index.ts"
import * as Errors from "./chat/errors.ts"
import { Dialogue, TrainingSequence } from "./chat/rows.ts"
import { chatml, compile, type Rendered, render } from "./chat/template.ts"
import { parameter } from "./parameter.ts"
import { encoding } from "./tokenizer/encoding.ts"
import { type Tokenizer, TokenizerPort } from "./tokenizer/port.ts"

const operator = "chat-sequences"

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&")

/** Splits a rendered text at its special tokens; the pieces that are one are told by their id. */
const specialSplitter = ({ specialTokens }: Tokenizer) => {
  const longestFirst = [...specialTokens.keys()].toSorted((a, b) => b.length - a.length)
  const pattern = new RegExp(`(${longestFirst.map(escaped).join("|")})`, "u")
  return (text: string) =>
    text
      .split(pattern)
      .filter((piece) => piece !== "")
      .map((piece) => ({ piece, id: specialTokens.get(piece) }))
}

/** Tokens of a rendered dialogue: an answer's are trained up to its last special token, which is `end`. */
const encodeRendered = (
  { answers, text }: Rendered,
  tokenizer: Tokenizer,
  split: ReturnType<typeof specialSplitter>
) => {
  const tokens: Array<number> = []
  const trained: Array<number> = []
  const ends: Array<number | undefined> = []
  const add = (from: number, to: number, isAnswer: boolean) => {
    const first = tokens.length
    let last = first
    let end: number | undefined
    for (const { id, piece } of split(text.slice(from, to))) {
      for (const token of id === undefined ? tokenizer.encode(piece) : [id]) tokens.push(token)
      if (id === undefined) continue
      last = tokens.length
      end = id
    }
    for (let i = first; i < tokens.length; i++) trained.push(isAnswer && i < last ? 1 : 0)
    if (isAnswer) ends.push(end)
  }
  let at = 0
  for (const [from, to] of answers) {
    add(at, from, false)
    add(from, to, true)
    at = to
  }
  add(at, text.length, false)
  return { tokens: Int32Array.from(tokens), trained: Int32Array.from(trained), ends }
}

/**
 * Renders dialogues with a chat template (Hugging Face's Jinja) and encodes them. The assistant's answers are trained, each with the token that
 * ends it; what others say, and what the template writes around it, is read only.
 */
export const chatSequences = Operator.make(operator, {
  description: "Renders dialogues with a chat template, the assistant's answers to be trained",
  params: Schema.Struct({
    template: parameter(
      Schema.String,
      chatml,
      "the template in Jinja, as chat_template of tokenizer_config.json; default ChatML"
    ),
    endToken: parameter(Schema.String, "", "the token that ends an answer; empty: the one that ends a text"),
    beginToken: parameter(Schema.String, "", "what the template calls bos_token"),
    padIsEnd: parameter(
      Schema.Literals(["error", "allow"]),
      "error",
      "what becomes of a tokenizer whose filling token is the end token; rows are filled by place here, and end tokens trained either way"
    )
  }),
  inputs: { dialogues: Table.of(Dialogue), tokenizer: TokenizerPort },
  outputs: { sequences: Table.of(TrainingSequence) },
  run: Effect.fnUntraced(function* ({ inputs, params }) {
    const { dialogues, tokenizer } = inputs
    const { special, specialTokens } = tokenizer
    const names = new Map([...specialTokens].map(([text, id]) => [id, text]))
    const end = params.endToken === "" ? special.endOfText : specialTokens.get(params.endToken)
    if (end === undefined) {
      const known = [...specialTokens.keys()].join(", ")
      const message = `the tokenizer has no special token ${JSON.stringify(params.endToken)}: it has ${known}`
      return yield* new Errors.TemplateError({ operator, place: "endToken", message })
    }
    if (special.pad === end && params.padIsEnd === "error") {
      return yield* new Errors.PadIsEnd({
        operator,
        place: "tokenizer",
        message: `${JSON.stringify(names.get(end))} both ends an answer and fills rows: where filling is masked by its id, the model never learns to stop. Give the tokenizer a padding token, or say padIsEnd=allow: here rows are filled by place`
      })
    }
    const template = yield* Effect.try({
      try: () => compile(params.template, { bos_token: params.beginToken, eos_token: names.get(end)! }),
      catch: (cause) => new Errors.TemplateError({ operator, place: "template", message: String(cause) })
    })
    const split = specialSplitter(tokenizer)
    const sequenceOf = Effect.fnUntraced(function* ({ id, messages }: Dialogue, row: number) {
      const place = `dialogues, row ${row} (${id})`
      for (const { content, role } of messages) {
        const found = [...specialTokens.keys()].find((text) => content.includes(text))
        if (found === undefined) continue
        const message = `a message of ${role} has ${JSON.stringify(found)} in it, which would be read as that token: take it out`
        return yield* new Errors.SpecialInContent({ operator, place, message })
      }
      const rendered = yield* Effect.try({
        try: () => render(template, messages),
        catch: (cause) => new Errors.TemplateError({ operator, place, message: `the template fails: ${String(cause)}` })
      })
      if (rendered === undefined) {
        return yield* new Errors.TemplateError({
          operator,
          place,
          message:
            "the template writes the messages before an answer otherwise once the answer is there: which text is the answer cannot be told"
        })
      }
      const { ends, tokens, trained } = yield* encoding(operator, place, () =>
        encodeRendered(rendered, tokenizer, split)
      )
      if (ends.length === 0) {
        const message = "no message is the assistant's: no token would be trained"
        return yield* new Errors.NoTrainedToken({ operator, place, message })
      }
      const wrong = ends.find((token) => token !== end)
      if (ends.some((token) => token !== end)) {
        const found = wrong === undefined ? "no special token" : JSON.stringify(names.get(wrong))
        return yield* new Errors.TemplateWithoutEnd({
          operator,
          place,
          message: `the template ends an answer with ${found}, and sampling stops at ${JSON.stringify(names.get(end))}: the model would never stop. Name the template's own end token (endToken), or write one after answers`
        })
      }
      return { id, tokens, trained }
    })
    const rows = yield* dialogues.rows.pipe(
      Stream.zipWithIndex,
      Stream.mapEffect(([dialogue, row]) => sequenceOf(dialogue, row)),
      Stream.runCollect
    )
    return { sequences: Table.fromRows(TrainingSequence, rows, { from: { dialogues: rows.keys() } }) }
  })
})
