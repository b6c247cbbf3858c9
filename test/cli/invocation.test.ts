import { expect, test } from "vitest"
import { again, program } from "../../src/cli/invocation.ts"

const npm = { npm_package_name: "ptmflow", npm_command: "run-script" }
const start = {
  ...npm,
  npm_lifecycle_event: "start",
  npm_lifecycle_script: "node bin/ptmflow.mjs run pipelines/chatgpt.ts"
}
const script = { ...npm, npm_lifecycle_event: "ptmflow", npm_lifecycle_script: "node bin/ptmflow.mjs" }

test("a call is repeated as it was typed: installed, with npx, with npm start, with npm run", () => {
  const args = ["run", "pipelines/chatgpt.ts", "--set", "corpus=my notes/*.md"]
  expect(again(args, {})).toBe("ptmflow run pipelines/chatgpt.ts --set 'corpus=my notes/*.md'")
  expect(again(args, { npm_command: "exec", npm_lifecycle_event: "npx" })).toMatch(/^npx ptmflow run /)
  expect(again(args, start)).toBe("npm start -- --set 'corpus=my notes/*.md'")
  expect(again(args.slice(0, 2), start)).toBe("npm start")
  expect(again(["status"], script)).toBe("npm run ptmflow -- status")
  expect(again(["run", "it's.ts"], {})).toBe("ptmflow run 'it'\\''s.ts'")
})

test("other commands are called the same way, but not by a script that is only for one", () => {
  const project = { ...start, npm_package_name: "my-model", npm_lifecycle_script: "ptmflow run pipelines/rhymes.ts" }
  expect([{}, start, script, { npm_command: "exec" }, project].map((env) => program(env))).toEqual([
    "ptmflow",
    "npm run ptmflow --",
    "npm run ptmflow --",
    "npx ptmflow",
    "npx ptmflow"
  ])
})
