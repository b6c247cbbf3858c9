/** Two imports away from the operators. */
export const vowels = (text: string): number => [...text].filter((letter) => "aeiou".includes(letter)).length

/** Nothing uses this. */
export const consonants = (text: string): number => text.length - vowels(text)
