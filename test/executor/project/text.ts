import { vowels } from "./letters.ts"

/** One import away. */
export function score(text: string): number {
  // A comment.
  return vowels(text) * 10
}
