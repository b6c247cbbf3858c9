/**
 * Row types of dialogues and of sequences that are partly trained.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Table from "../../src/table/index.ts"

/** A dialogue: its messages in order. */
export const Dialogue = Schema.Struct({
  id: Schema.String,
  messages: Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.String }))
})
export type Dialogue = typeof Dialogue.Type

/** Token ids, and for each whether it is trained (1) or only read (0). */
export const TrainingSequence = Schema.Struct({
  id: Schema.String,
  tokens: Table.Int32List,
  trained: Table.Int32List
})
export type TrainingSequence = typeof TrainingSequence.Type
