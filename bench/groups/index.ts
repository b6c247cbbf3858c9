/** All groups, in the order in which they run. A new one is a file here and a line below. */
import type { Group } from "../bench.ts"
import { dag } from "./dag.ts"
import { generate } from "./generate.ts"
import { growth } from "./growth.ts"
import { matmul } from "./matmul.ts"
import { memory } from "./memory.ts"
import { ppo } from "./ppo.ts"
import { tfjs } from "./tfjs.ts"
import { tokenizer } from "./tokenizer.ts"
import { train } from "./train.ts"

export const groups: ReadonlyArray<Group> = [matmul, generate, ppo, train, memory, tfjs, tokenizer, dag, growth]
