/**
 * That which runs programs. A program is a fixed list of kernel launches over memories that were planned before; running it is
 * one call, off the event loop.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { AnyLaunch } from "./kernel.ts"

/** The kinds of devices, in the order in which `auto` takes them. */
export const deviceKinds = ["cuda", "cpu", "tfjs"] as const
export type DeviceKind = (typeof deviceKinds)[number]

/**
 * A device could not be had, or could not do what it was asked. `message` says what to do about it. `outOfMemory`: there is no room for what was asked
 * for, and there may be when other memory is freed.
 */
export class DeviceError extends Schema.TaggedError<DeviceError>()("DeviceError", {
  device: Schema.String,
  operation: Schema.String,
  message: Schema.String,
  outOfMemory: Schema.optionalKey(Schema.Boolean)
}) {}

/** A fixed list of launches; `memories` is how many memories its buffers refer to. */
export interface Program {
  readonly name: string
  readonly memories: number
  readonly launches: ReadonlyArray<AnyLaunch>
}

/** A block of device memory, zeroed at first. */
export interface Memory {
  readonly bytes: number
}

/** A program bound to its memories. `run(n)` runs the whole list n times in one call, or until a kernel ends it; interrupting it stops between launches. */
export interface Executable {
  readonly run: (times?: number) => Effect.Effect<void, DeviceError>
}

/** The element type of `real` buffers. */
export type Real = "f32" | "f64"

/**
 * What a device offers. `numerics` is the digest of what its kernels give for fixed operands (see `probe.ts`): equal for two devices that give the
 * same bits. It is found out once for each build of the kernels and remembered.
 */
export interface DeviceShape {
  readonly kind: DeviceKind
  readonly description: string
  /** Bytes that it has for programs in all, where that is known. */
  readonly memory?: number
  readonly numerics: Effect.Effect<string, DeviceError>
  readonly real: Real
  /** FLOP/s that matrix products of `real` could reach at most, where that is known. */
  readonly peak?: Effect.Effect<number, DeviceError>
  /** Freed with the scope. Where there is no room it fails with an error that is `outOfMemory`. */
  readonly allocate: (bytes: number) => Effect.Effect<Memory, DeviceError, Scope.Scope>
  /** The data must stay as it is until it is written: large data is, on another thread. */
  readonly write: (memory: Memory, offset: number, data: ArrayBufferView) => Effect.Effect<void, DeviceError>
  readonly read: (memory: Memory, offset: number, into: ArrayBufferView) => Effect.Effect<void, DeviceError>
  readonly compile: (
    program: Program,
    memories: ReadonlyArray<Memory>
  ) => Effect.Effect<Executable, DeviceError, Scope.Scope>
}

/** The device that a stage computes on. */
export class Device extends Context.Service<Device, DeviceShape>()("ptmflow/device/Device") {}
