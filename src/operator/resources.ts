/**
 * What a stage needs to run.
 *
 * @since 0.1.0
 */

/**
 * What a stage needs of the device that it is given: `gpu: 1` that it is a GPU, `memory` how many bytes it has. It decides where a stage can run and
 * when, and never enters a key.
 */
export interface Resources {
  readonly gpu?: 1
  readonly memory?: number
}
