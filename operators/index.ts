/**
 * The operators of the recipe, their row types and their ports.
 *
 * @since 0.1.0
 */
export * from "./answers.ts"
export { answerPrompts } from "./answers-report.ts"
export { characterTokenizer } from "./character-tokenizer.ts"
export { type Checkpoint, CheckpointPort } from "./checkpoint.ts"
export { cutDemonstrations } from "./demonstrations.ts"
export { readDocuments } from "./documents.ts"
export { evaluate } from "./evaluate.ts"
export { type Rule, readLexicon, rule } from "./lexicon.ts"
export { parameter } from "./parameter.ts"
export { PpoParams, ppo } from "./ppo.ts"
export { PretrainParams, pretrain } from "./pretrain.ts"
export { rankByLexicon } from "./rank.ts"
export { readTable } from "./read-table.ts"
export { Report, ReportPort } from "./report.ts"
export { trainReward } from "./reward.ts"
export { rollout } from "./rollout.ts"
export { Document, TokenSequence } from "./rows.ts"
export { score } from "./score.ts"
export { sft } from "./sft.ts"
export { summarise } from "./summary.ts"
export { tokenize } from "./tokenize.ts"
export { tokenizeByPosition } from "./tokenize-by-position.ts"
export { type Tokenizer, TokenizerPort } from "./tokenizer/port.ts"
export { trainTokenizer } from "./train-tokenizer.ts"
