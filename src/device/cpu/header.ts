/**
 * The C++ header that names the kernels and their operands, written from the kernel table so that the two cannot drift apart.
 *
 * @since 0.1.0
 */
import { Activation, kernels } from "../kernel.ts"

const enumeration = (name: string, prefix: string, members: ReadonlyArray<string>) =>
  members.length === 0
    ? ""
    : `enum ${name} { ${members.map((member) => `${prefix}_${member.replace("?", "")}`).join(", ")} };\n`

/** The text of `kernels.generated.h`. */
export const header = (): string => {
  const names = Object.keys(kernels)
  const longest = (of: (row: (typeof kernels)[keyof typeof kernels]) => ReadonlyArray<string>) =>
    Math.max(...Object.values(kernels).map((row) => of(row).length))
  return [
    "// Generated from src/device/kernel.ts.\n#pragma once\n",
    `constexpr int maxBuffers = ${longest((row) => row.buffers)};\n`,
    `constexpr int maxIntegers = ${longest((row) => row.integers)};\n`,
    `constexpr int maxReals = ${longest((row) => row.reals)};\n`,
    `#define EACH_KERNEL(X) ${names.map((name) => `X(${name})`).join(" ")}\n`,
    enumeration("Activation", "activation", Object.keys(Activation)),
    ...Object.entries(kernels).flatMap(([name, row]) => [
      `namespace kernel_${name} {\n`,
      enumeration("Buffers", "b", row.buffers),
      enumeration("Integers", "i", row.integers),
      enumeration("Reals", "r", row.reals),
      "}\n"
    ])
  ].join("")
}
