/**
 * Matrix products by cuBLASLt, each shape's algorithm chosen once.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DeviceError } from "../device.ts"
import { type Address, bind } from "./driver.ts"
import type { ProductStep } from "./step.ts"
import { freeing, onCard, type Stream } from "./stream.ts"

interface CublasLtFunctions {
  readonly cublasLtCreate: (handle: BigUint64Array) => number
  readonly cublasLtDestroy: (handle: Address) => number
  readonly cublasLtMatmulDescCreate: (descriptor: BigUint64Array, computeType: number, scaleType: number) => number
  readonly cublasLtMatmulDescDestroy: (descriptor: Address) => number
  readonly cublasLtMatmulDescSetAttribute: (
    descriptor: Address,
    attribute: number,
    value: ArrayBufferView,
    bytes: number
  ) => number
  readonly cublasLtMatrixLayoutCreate: (
    layout: BigUint64Array,
    type: number,
    rows: number,
    columns: number,
    leading: number
  ) => number
  readonly cublasLtMatrixLayoutDestroy: (layout: Address) => number
  readonly cublasLtMatmulPreferenceCreate: (preference: BigUint64Array) => number
  readonly cublasLtMatmulPreferenceDestroy: (preference: Address) => number
  readonly cublasLtMatmulPreferenceSetAttribute: (
    preference: Address,
    attribute: number,
    value: ArrayBufferView,
    bytes: number
  ) => number
  readonly cublasLtMatmulAlgoGetHeuristic: (
    handle: Address,
    descriptor: Address,
    a: Address,
    b: Address,
    c: Address,
    d: Address,
    preference: Address,
    wanted: number,
    results: Uint8Array,
    found: Int32Array
  ) => number
  readonly cublasLtMatmul: (
    handle: Address,
    descriptor: Address,
    alpha: Float32Array,
    a: Address,
    aLayout: Address,
    b: Address,
    bLayout: Address,
    beta: Float32Array,
    c: Address,
    cLayout: Address,
    d: Address,
    dLayout: Address,
    algorithm: Uint8Array,
    workspace: Address,
    workspaceBytes: number,
    stream: Address
  ) => number
}

/** Parameters as koffi reads them, like `driverPrototypes`. */
export const cublasLtPrototypes: { readonly [N in keyof CublasLtFunctions]: string } = {
  cublasLtCreate: "_Out_ uint64_t *handle",
  cublasLtDestroy: "uint64_t handle",
  cublasLtMatmulDescCreate: "_Out_ uint64_t *descriptor, int32_t computeType, int32_t scaleType",
  cublasLtMatmulDescDestroy: "uint64_t descriptor",
  cublasLtMatmulDescSetAttribute: "uint64_t descriptor, int32_t attribute, const void *value, uint64_t bytes",
  cublasLtMatrixLayoutCreate: "_Out_ uint64_t *layout, int32_t type, uint64_t rows, uint64_t columns, int64_t leading",
  cublasLtMatrixLayoutDestroy: "uint64_t layout",
  cublasLtMatmulPreferenceCreate: "_Out_ uint64_t *preference",
  cublasLtMatmulPreferenceDestroy: "uint64_t preference",
  cublasLtMatmulPreferenceSetAttribute: "uint64_t preference, int32_t attribute, const void *value, uint64_t bytes",
  cublasLtMatmulAlgoGetHeuristic:
    "uint64_t handle, uint64_t descriptor, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t preference, int32_t wanted, _Out_ uint8_t *results, _Out_ int32_t *found",
  cublasLtMatmul:
    "uint64_t handle, uint64_t descriptor, const float *alpha, uint64_t a, uint64_t aLayout, uint64_t b, uint64_t bLayout, const float *beta, uint64_t c, uint64_t cLayout, uint64_t d, uint64_t dLayout, const uint8_t *algorithm, uint64_t workspace, uint64_t workspaceBytes, uint64_t stream"
}

/** Values of the enumerations of cublasLt.h and of what it includes. */
export const CublasLt = {
  CUDA_R_32F: 0,
  CUDA_R_16BF: 14,
  CUBLAS_COMPUTE_32F: 68,
  CUBLAS_OP_N: 0,
  CUBLAS_OP_T: 1,
  CUBLASLT_MATMUL_DESC_TRANSA: 3,
  CUBLASLT_MATMUL_DESC_TRANSB: 4,
  CUBLASLT_MATMUL_DESC_EPILOGUE: 7,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER: 8,
  CUBLASLT_EPILOGUE_BIAS: 4,
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: 1,
  CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: 3,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: 5,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: 6,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: 7,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: 8,
  CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE: 2
} as const

/** Sizes and offsets, in bytes, of cublasLtMatmulHeuristicResult_t; the algorithm comes first. */
export const heuristicResult = { bytes: 96, algorithmBytes: 64, workspaceAt: 64, stateAt: 72 } as const

/** What NVIDIA recommends for Hopper and newer. */
export const workspaceBytes = 32 * 1024 * 1024

/** A product's addresses on the card. */
export interface ProductAddresses {
  readonly a: Address
  readonly b: Address
  readonly bias: Address | null
  readonly out: Address
}

/** Enqueues products; freed with its scope. `supports` is false where cuBLASLt has no algorithm for a product. */
export interface Products {
  readonly supports: (product: ProductStep, at: ProductAddresses) => boolean
  readonly enqueue: (product: ProductStep, at: ProductAddresses) => void
}

interface Plan {
  readonly descriptor: Address
  readonly a: Address
  readonly b: Address
  readonly out: Address
  readonly algorithm: Uint8Array
}

const check = (call: string, status: number): void => {
  if (status === 0) return
  const message = `cuBLASLt: ${call} failed with status ${status}`
  throw new DeviceError({ device: "cuda", operation: "matrix product", message })
}

/** The largest power of two, at most 256, that divides an address. */
const alignment = (address: Address): number => {
  for (let bytes = 256; bytes > 1; bytes /= 2) if (address % BigInt(bytes) === 0n) return bytes
  return 1
}

const one = Float32Array.of(1)
const nothing = Float32Array.of(0)

/**
 * cuBLASLt at a path, with a workspace on the card. Only algorithms that sum in a fixed order are taken: those that add parts of a sum by atomic operations in place
 * are masked out, those that put them in the workspace and add them after are not.
 */
export const products = Effect.fnUntraced(function* (
  path: string,
  stream: Stream,
  workspace: Address
): Effect.fn.Return<Products, DeviceError, Scope.Scope> {
  const functions = yield* Effect.tryPromise({
    try: () => bind<CublasLtFunctions>(path, cublasLtPrototypes),
    catch: (cause) =>
      cause instanceof DeviceError
        ? cause
        : new DeviceError({ device: "cuda", operation: "load", message: String(cause) })
  })
  const made = (call: string, create: (into: BigUint64Array) => number): Address => {
    const into = new BigUint64Array(1)
    check(call, create(into))
    return into[0]!
  }
  const handle = yield* Effect.acquireRelease(
    onCard(stream, "start", () => made("cublasLtCreate", (into) => functions.cublasLtCreate(into))),
    (handle) => freeing(stream, () => functions.cublasLtDestroy(handle))
  )

  const plans = new Map<string, Plan | null>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const plan of plans.values()) {
        if (plan === null) continue
        functions.cublasLtMatmulDescDestroy(plan.descriptor)
        for (const layout of [plan.a, plan.b, plan.out]) functions.cublasLtMatrixLayoutDestroy(layout)
      }
    })
  )

  const layout = (type: number, rows: number, columns: number) =>
    made("cublasLtMatrixLayoutCreate", (into) => functions.cublasLtMatrixLayoutCreate(into, type, rows, columns, rows))

  /** cuBLASLt's matrices are column-major: row-major out = a . b is out^T = b^T . a^T there, so that b is its first factor. */
  const choose = (product: ProductStep, at: ProductAddresses): Plan | null => {
    const { factors, k, m, n, transposeA, transposeB } = product
    const type = factors === "bf16" ? CublasLt.CUDA_R_16BF : CublasLt.CUDA_R_32F
    const descriptor = made("cublasLtMatmulDescCreate", (into) =>
      functions.cublasLtMatmulDescCreate(into, CublasLt.CUBLAS_COMPUTE_32F, CublasLt.CUDA_R_32F)
    )
    const set = (attribute: number, value: ArrayBufferView) =>
      check(
        "cublasLtMatmulDescSetAttribute",
        functions.cublasLtMatmulDescSetAttribute(descriptor, attribute, value, value.byteLength)
      )
    const operation = (transposed: boolean) => Int32Array.of(transposed ? CublasLt.CUBLAS_OP_T : CublasLt.CUBLAS_OP_N)
    set(CublasLt.CUBLASLT_MATMUL_DESC_TRANSA, operation(transposeB))
    set(CublasLt.CUBLASLT_MATMUL_DESC_TRANSB, operation(transposeA))
    if (at.bias !== null) {
      set(CublasLt.CUBLASLT_MATMUL_DESC_EPILOGUE, Int32Array.of(CublasLt.CUBLASLT_EPILOGUE_BIAS))
      set(CublasLt.CUBLASLT_MATMUL_DESC_BIAS_POINTER, BigUint64Array.of(at.bias))
    }
    const a = transposeA ? layout(type, m, k) : layout(type, k, m)
    const b = transposeB ? layout(type, k, n) : layout(type, n, k)
    const out = layout(CublasLt.CUDA_R_32F, n, m)
    const preference = made("cublasLtMatmulPreferenceCreate", (into) => functions.cublasLtMatmulPreferenceCreate(into))
    const prefer = (attribute: number, value: ArrayBufferView) =>
      check(
        "cublasLtMatmulPreferenceSetAttribute",
        functions.cublasLtMatmulPreferenceSetAttribute(preference, attribute, value, value.byteLength)
      )
    prefer(CublasLt.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, BigUint64Array.of(BigInt(workspaceBytes)))
    prefer(
      CublasLt.CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      Uint32Array.of(CublasLt.CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
    )
    prefer(CublasLt.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, Uint32Array.of(alignment(at.b)))
    prefer(CublasLt.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, Uint32Array.of(alignment(at.a)))
    prefer(CublasLt.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, Uint32Array.of(alignment(at.out)))
    prefer(CublasLt.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, Uint32Array.of(alignment(at.out)))
    const result = new Uint8Array(heuristicResult.bytes)
    const found = new Int32Array(1)
    const status = functions.cublasLtMatmulAlgoGetHeuristic(
      handle,
      descriptor,
      b,
      a,
      out,
      out,
      preference,
      1,
      result,
      found
    )
    functions.cublasLtMatmulPreferenceDestroy(preference)
    const state = new DataView(result.buffer).getInt32(heuristicResult.stateAt, true)
    if (status === 0 && found[0] === 1 && state === 0) {
      return { descriptor, a, b, out, algorithm: result.slice(0, heuristicResult.algorithmBytes) }
    }
    functions.cublasLtMatmulDescDestroy(descriptor)
    for (const each of [a, b, out]) functions.cublasLtMatrixLayoutDestroy(each)
    return null
  }

  const planOf = (product: ProductStep, at: ProductAddresses): Plan | null => {
    const { factors, k, m, n, transposeA, transposeB } = product
    const aligned = [at.a, at.b, at.out].map(alignment)
    const bias = at.bias === null ? 0 : alignment(at.bias)
    const key = [factors, m, n, k, transposeA, transposeB, bias, ...aligned].join(" ")
    let plan = plans.get(key)
    if (plan === undefined) {
      plan = choose(product, at)
      plans.set(key, plan)
    }
    return plan
  }

  return {
    supports: (product, at) => planOf(product, at) !== null,
    enqueue: (product, at) => {
      const plan = planOf(product, at)
      if (plan === null) check("cublasLtMatmulAlgoGetHeuristic (no algorithm)", -1)
      const { a, algorithm, b, descriptor, out } = plan!
      if (at.bias !== null) {
        const pointer = BigUint64Array.of(at.bias)
        const attribute = CublasLt.CUBLASLT_MATMUL_DESC_BIAS_POINTER
        check("bias", functions.cublasLtMatmulDescSetAttribute(descriptor, attribute, pointer, pointer.byteLength))
      }
      check(
        `${product.factors} product ${product.m} x ${product.n} x ${product.k}`,
        functions.cublasLtMatmul(
          handle,
          descriptor,
          one,
          at.b,
          b,
          at.a,
          a,
          product.accumulate ? one : nothing,
          at.out,
          out,
          at.out,
          out,
          algorithm,
          workspace,
          workspaceBytes,
          stream.handle
        )
      )
    }
  }
})
