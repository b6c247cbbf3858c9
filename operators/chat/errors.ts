/**
 * Mistakes in data for fine-tuning, each by its name and with its row.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const fields = { operator: Schema.String, place: Schema.String, message: Schema.String }

/** A row of which no token would be trained: its loss is no number, or it counts for nothing. */
export class NoTrainedToken extends Schema.TaggedError<NoTrainedToken>()("NoTrainedToken", fields) {}

/** The token that fills rows is the one that ends answers. */
export class PadIsEnd extends Schema.TaggedError<PadIsEnd>()("PadIsEnd", fields) {}

/** A chat template after whose answers no token comes that ends them: a model that learns from it never stops. */
export class TemplateWithoutEnd extends Schema.TaggedError<TemplateWithoutEnd>()("TemplateWithoutEnd", fields) {}

/** A chat template that cannot be read or rendered, or writes the messages before an answer otherwise once it is there. */
export class TemplateError extends Schema.TaggedError<TemplateError>()("TemplateError", fields) {}

/** A message with the text of a special token in it, which would be read as that token. */
export class SpecialInContent extends Schema.TaggedError<SpecialInContent>()("SpecialInContent", fields) {}

/** A token id that the model has no row for. */
export class TokenOutOfRange extends Schema.TaggedError<TokenOutOfRange>()("TokenOutOfRange", fields) {}
