/** Looks at what a run of pipelines/char-gpt.ts made: `npx node docs/examples/look.ts .ptmflow`. In a project of one's own the import is from "ptmflow/results". */
import { open } from "../../src/results/index.ts"

await using results = await open(process.argv[2])
for (const { pipeline, run, status } of await results.runs()) console.log(run, pipeline, status)
const train = await results.table("tokenize-by-position.train")
for await (const batch of train.batches()) console.log(batch.numRows, "rows, the first:", batch.get(0)?.["id"])
const model = await results.checkpoint("pretrain.checkpoint")
for (const [name, { shape, values }] of model.weights) console.log(name, shape, Math.hypot(...values.subarray(0, 100)))
const { completions } = await results.generate(model, "whale ", { tokens: 12, temperature: 0 })
console.log(JSON.stringify(completions[0]?.text), (await results.metrics("pretrain")).last["validationLoss"])
