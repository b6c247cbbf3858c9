import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 180_000,
    // Kernels run on threads of their own; two test files at a time fill two cores.
    maxWorkers: 2
  }
})
