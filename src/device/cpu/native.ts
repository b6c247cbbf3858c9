/**
 * The library's functions, bound through koffi.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { DeviceError } from "../device.ts"

/** An address inside the library's world. */
export type Pointer = { readonly "~pointer": unique symbol } | null

/** A function of the library. `async` calls it on another thread and calls back on the event loop; its buffers must live until then. */
export interface NativeFunction<in Args extends ReadonlyArray<unknown>, out Result> {
  (...args: Args): Result
  readonly async: (...args: [...Args, done: (error: unknown, result: Result) => void]) => void
}

/** See `program.cpp` for what each does. */
export interface Native {
  readonly createPool: (threads: number) => Pointer
  readonly destroyPool: (pool: Pointer) => void
  readonly allocate: NativeFunction<[bytes: number], Pointer>
  readonly free: NativeFunction<[memory: Pointer], void>
  readonly address: (memory: Pointer) => bigint
  readonly write: NativeFunction<[memory: Pointer, offset: number, data: ArrayBufferView, bytes: number], void>
  readonly read: NativeFunction<[memory: Pointer, offset: number, into: ArrayBufferView, bytes: number], void>
  readonly createProgram: (words: BigInt64Array, count: number, threads: number) => Pointer
  readonly destroyProgram: (program: Pointer) => void
  /** Sets (1) or clears (0) the flag that stops a run between launches. */
  readonly cancelProgram: (program: Pointer, cancelled: 0 | 1) => void
  readonly run: NativeFunction<[program: Pointer, pool: Pointer, times: number, fault: Int32Array], number>
  /** FLOP/s of fused multiply-adds in registers on one thread. */
  readonly peak: NativeFunction<[milliseconds: number], number>
}

/** Loads a built library. */
export const load = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Native, DeviceError> {
  const failed = (cause: unknown) =>
    new DeviceError({
      device: "cpu",
      operation: "load",
      message: `${path} cannot be loaded (delete its folder to have it built again): ${String(cause)}`
    })
  const { default: koffi } = yield* Effect.tryPromise({ try: () => import("koffi"), catch: failed })
  yield* Effect.yieldNow
  return yield* Effect.try({
    try: () => {
      const library = koffi.load(path)
      return {
        createPool: library.func("void *ptm_pool_create(int32_t threads)"),
        destroyPool: library.func("void ptm_pool_destroy(void *pool)"),
        allocate: library.func("void *ptm_allocate(uint64_t bytes)"),
        free: library.func("void ptm_free(void *memory)"),
        address: (memory: Pointer) => BigInt(koffi.address(memory)),
        write: library.func("void ptm_write(void *memory, uint64_t offset, const void *data, uint64_t bytes)"),
        read: library.func("void ptm_read(const void *memory, uint64_t offset, _Out_ void *into, uint64_t bytes)"),
        createProgram: library.func("void *ptm_program_create(const int64_t *words, int64_t count, int32_t threads)"),
        destroyProgram: library.func("void ptm_program_destroy(void *program)"),
        cancelProgram: library.func("void ptm_program_cancel(void *program, int32_t cancelled)"),
        run: library.func("int32_t ptm_program_run(void *program, void *pool, int64_t times, _Inout_ int32_t *fault)"),
        peak: library.func("double ptm_peak(int32_t milliseconds)")
      } as unknown as Native
    },
    catch: failed
  })
})
