import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Errors from "../../operators/chat/errors.ts"
import { Dialogue, TrainingSequence } from "../../operators/chat/rows.ts"
import { compile, render } from "../../operators/chat/template.ts"
import { chatSequences } from "../../operators/chat.ts"
import { sftSequences } from "../../operators/sft.ts"
import { characterOfByte } from "../../operators/tokenizer/byte-characters.ts"
import { load } from "../../operators/tokenizer/load.ts"
import type { Tokenizer } from "../../operators/tokenizer/port.ts"
import { write } from "../../operators/tokenizer/tokenizer-json.ts"
import { cpu } from "../../src/device/cpu/cpu.ts"
import { initialize } from "../../src/engine/model.ts"
import { Stage } from "../../src/operator/stage.ts"
import * as Table from "../../src/table/index.ts"
import { makeStage } from "./stage.ts"

const tokenizerWith = (...special: ReadonlyArray<string>) =>
  load(write({ tokens: characterOfByte.toSorted(), merges: [], special }))
const chatTokens = ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]

const system = { role: "system", content: "Be brief." }
const turns = (n: number): Dialogue => ({
  id: `d${n}`,
  messages: [
    system,
    { role: "user", content: `How many whales 🐋 are ${n}?` },
    { role: "assistant", content: `There are ${n}.` },
    { role: "user", content: "再说一次" },
    { role: "assistant", content: "是的。" }
  ]
})

const encode = (
  tokenizer: Tokenizer,
  dialogues: ReadonlyArray<Dialogue>,
  params: Partial<typeof chatSequences.params.Type>
) =>
  chatSequences
    .run({
      inputs: { dialogues: Table.fromRows(Dialogue, dialogues), tokenizer },
      params: Schema.decodeUnknownSync(chatSequences.params)(params),
      sources: []
    })
    .pipe(
      Effect.flatMap(({ sequences }) => Table.collect(sequences)),
      Effect.provideService(Stage, makeStage().stage)
    )

/** The stretches of tokens that are trained, as text. */
const trainedTexts = (tokenizer: Tokenizer, { tokens, trained }: TrainingSequence) => {
  const texts: Array<string> = []
  for (let i = 0; i < tokens.length; i++) {
    if (trained[i] !== 1) continue
    const from = i
    while (trained[i + 1] === 1) i++
    texts.push(tokenizer.decode(tokens.subarray(from, i + 1), { keepSpecial: true }))
  }
  return texts
}

const llama3 =
  "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"

describe("a template", () => {
  it("that writes an answer otherwise once more follows has no place for it", () => {
    const messages = ["user", "assistant", "user", "assistant"].map((role, i) => ({ role, content: `${i}` }))
    const rendered = (end: string) => {
      const source = `{% for message in messages %}{{ message.content }}{% if message.role == 'assistant' %}${end}{% endif %};{% endfor %}`
      return render(compile(source, {}), messages)
    }
    assert.deepStrictEqual(rendered("."), {
      text: "0;1.;2;3.;",
      answers: [
        [2, 5],
        [7, 10]
      ]
    })
    assert.isUndefined(rendered("{% if loop.last %}.{% endif %}"))
  })
})

describe("a dialogue", () => {
  it.effect("in ChatML: the assistant's turns are trained, each with its end token, and nothing else", () =>
    Effect.gen(function* () {
      const tokenizer = yield* tokenizerWith(...chatTokens)
      const [row] = yield* encode(tokenizer, [turns(7)], { endToken: "<|im_end|>" })
      assert.deepStrictEqual(trainedTexts(tokenizer, row!), ["There are 7.<|im_end|>", "是的。<|im_end|>"])
      assert.strictEqual(
        tokenizer.decode(row!.tokens, { keepSpecial: true }),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow many whales 🐋 are 7?<|im_end|>\n<|im_start|>assistant\nThere are 7.<|im_end|>\n<|im_start|>user\n再说一次<|im_end|>\n<|im_start|>assistant\n是的。<|im_end|>\n"
      )
      assert.strictEqual(row!.tokens[0], tokenizer.specialTokens.get("<|im_start|>"))
    })
  )

  it.effect("in Llama 3's template, with a token that begins the text once", () =>
    Effect.gen(function* () {
      const names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
      const tokenizer = yield* tokenizerWith(...names, "<|pad|>")
      const params = { template: llama3, endToken: "<|eot_id|>", beginToken: "<|begin_of_text|>" }
      const [row] = yield* encode(tokenizer, [turns(3)], params)
      assert.deepStrictEqual(trainedTexts(tokenizer, row!), ["There are 3.<|eot_id|>", "是的。<|eot_id|>"])
      const begin = tokenizer.specialTokens.get("<|begin_of_text|>")!
      assert.strictEqual(row!.tokens.filter((token) => token === begin).length, 1)
    })
  )

  it.effect("that cannot be trained on is refused by name, with its row", () =>
    Effect.gen(function* () {
      const tokenizer = yield* tokenizerWith(...chatTokens)
      const padless = yield* tokenizerWith("<|endoftext|>", "<|im_start|>", "<|im_end|>")
      const chatml = { endToken: "<|im_end|>" }
      const refused = (given: Parameters<typeof encode>[2], dialogue: Dialogue = turns(1), by = tokenizer) =>
        Effect.flip(encode(by, [turns(0), dialogue], given))
      const say = (role: string, content: string): Dialogue => ({ id: "odd", messages: [{ role, content }] })

      const silent = yield* refused(chatml, say("user", "hello"))
      assert.instanceOf(silent, Errors.NoTrainedToken)
      assert.include(silent.place, "row 1 (odd)")
      const pad = yield* refused({ endToken: "<|endoftext|>" }, turns(1), padless)
      assert.instanceOf(pad, Errors.PadIsEnd)
      assert.match(pad.message, /"<\|endoftext\|>" both ends an answer and fills rows/)
      const endless = yield* refused({
        ...chatml,
        template:
          "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
      })
      assert.instanceOf(endless, Errors.TemplateWithoutEnd)
      assert.match(endless.message, /ends an answer with no special token/)
      const other = yield* refused({})
      assert.instanceOf(other, Errors.TemplateWithoutEnd)
      assert.match(other.message, /ends an answer with "<\|im_end\|>", and sampling stops at "<\|endoftext\|>"/)
      const injected = yield* refused(chatml, {
        ...turns(1),
        messages: [{ role: "user", content: "x<|im_end|>" }, ...turns(1).messages]
      })
      assert.instanceOf(injected, Errors.SpecialInContent)
      assert.match(injected.message, /a message of user has "<\|im_end\|>" in it/)
      const rewriting = yield* refused({
        ...chatml,
        template: "{{ messages | length }}{% for message in messages %}{{ message.content + '<|im_end|>' }}{% endfor %}"
      })
      assert.instanceOf(rewriting, Errors.TemplateError)
      assert.match(rewriting.message, /cannot be told/)
      const broken = yield* refused({ ...chatml, template: "{% for %}" })
      assert.instanceOf(broken, Errors.TemplateError)
      const raising = yield* refused({ ...chatml, template: "{{ raise_exception('no system message') }}" })
      assert.match(raising.message, /no system message/)
      assert.match((yield* refused({ endToken: "<eos>" })).message, /no special token "<eos>"/)
    })
  )
})

describe("sft-sequences", () => {
  const run = Effect.fnUntraced(function* (sequences: ReadonlyArray<TrainingSequence>, params: object) {
    const tokenizer = yield* tokenizerWith(...chatTokens)
    const { vocabularySize: vocabulary } = tokenizer
    const config = {
      family: "gpt2",
      layers: 1,
      heads: 2,
      width: 32,
      vocabulary,
      context: 256,
      scalarHead: false
    } as const
    const { reports, stage } = makeStage()
    const outputs = yield* sftSequences
      .run({
        inputs: {
          checkpoint: { weights: initialize(config, 1), tokenizer },
          sequences: Table.fromRows(TrainingSequence, sequences)
        },
        params: Schema.decodeUnknownSync(sftSequences.params)({ batch: 2, learningRate: 1e-2, warmup: 1, ...params }),
        sources: []
      })
      .pipe(Effect.provideService(Stage, stage))
    return { figures: outputs.report.figures.map(({ value }) => value), reports }
  })

  it.effect("learns answers of dialogues, apart and packed", () =>
    Effect.gen(function* () {
      const tokenizer = yield* tokenizerWith(...chatTokens)
      const short = Array.from(
        { length: 16 },
        (_, n): Dialogue => ({ id: `s${n}`, messages: turns(n % 4).messages.slice(1, 3) })
      )
      const rows = yield* encode(tokenizer, short, { endToken: "<|im_end|>" })
      for (const packing of [false, true]) {
        const { figures, reports } = yield* run(rows, { packing, epochs: packing ? 24 : 8 })
        assert.isBelow(figures[1]!, 0.5 * figures[0]!, `packing ${packing}`)
        // 15 rows of about 80 tokens, three in a row of 256.
        assert.strictEqual(reports.find(({ steps }) => steps !== undefined)!.steps, packing ? 24 * 2 : 8 * 7)
      }
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )

  it.effect("refuses by name and row what it cannot train on", () =>
    Effect.gen(function* () {
      const good = { id: "good", tokens: Int32Array.of(1, 2, 3), trained: Int32Array.of(0, 0, 1) }
      const refused = (bad: Partial<TrainingSequence>) => Effect.flip(run([good, { ...good, id: "bad", ...bad }], {}))
      const range = yield* refused({ tokens: Int32Array.of(1, 260, 3) })
      assert.instanceOf(range, Errors.TokenOutOfRange)
      assert.include(range.place, "sequences, row 1 (bad)")
      assert.match(range.message, /token 1 is 260, the model's vocabulary is 0 to 259/)
      assert.instanceOf(yield* refused({ tokens: Int32Array.of(1, -1, 3) }), Errors.TokenOutOfRange)
      assert.instanceOf(yield* refused({ trained: Int32Array.of(1, 0, 0) }), Errors.NoTrainedToken)
      assert.instanceOf(yield* refused({ trained: Int32Array.of(0, 0, 0) }), Errors.NoTrainedToken)
      assert.match((yield* refused({ trained: Int32Array.of(1) })).message, /3 tokens have 1 marks/)
      const long = yield* refused({ tokens: new Int32Array(300), trained: new Int32Array(300).fill(1) })
      assert.match(long.message, /300 tokens do not fit the model's context of 256/)
    }).pipe(Effect.provide(cpu({ threads: 1 })))
  )
})
