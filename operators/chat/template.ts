/**
 * A chat template: messages as text, and which stretches of it are the assistant's answers.
 *
 * @since 0.1.0
 */
import { Template } from "@huggingface/jinja"

/** One message. `role` is what the template knows: system, user, assistant. */
export interface Message {
  readonly role: string
  readonly content: string
}

/** ChatML (OpenAI 2023): the template of templates. */
export const chatml =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** Messages as text; `prompting` ends with what comes before an answer. Throws what the template throws. */
export type Render = (messages: ReadonlyArray<Message>, prompting: boolean) => string

/** A template in Hugging Face's Jinja; `tokens` are what it calls by name (`bos_token`, `eos_token`). Throws if it cannot be read. */
export const compile = (source: string, tokens: Readonly<Record<string, string>>): Render => {
  const template = new Template(source)
  return (messages, prompting) => template.render({ ...tokens, messages, add_generation_prompt: prompting })
}

/** A text and the stretches [from, to) of it that are answers. */
export interface Rendered {
  readonly text: string
  readonly answers: ReadonlyArray<readonly [from: number, to: number]>
}

/**
 * Renders a dialogue and finds its answers: each is what its message adds to the messages before it. Undefined if the template writes
 * earlier messages otherwise once later ones are there, so that no stretch is the answer.
 */
export const render = (template: Render, messages: ReadonlyArray<Message>): Rendered | undefined => {
  const text = template(messages, false)
  const answers: Array<readonly [number, number]> = []
  for (const [i, message] of messages.entries()) {
    if (message.role !== "assistant") continue
    const before = template(messages.slice(0, i), true)
    const after = i === messages.length - 1 ? text : template(messages.slice(0, i + 1), false)
    if (!after.startsWith(before) || !text.startsWith(after)) return undefined
    answers.push([before.length, after.length])
  }
  return { text, answers }
}
