// Runs CUDA kernels on the host, so that they can be proven without a card. A kernel's file is compiled with this header included before it, and
// each of its kernels named once in EMULATED_KERNEL. What a launch is called by:
//
//   int32_t ptm_emulate(const char* entry, const uint32_t grid[3], const uint32_t block[3], uint32_t shared, void* const* parameters, uint32_t seed)
//
// parameters[i] points at the i-th parameter's value, as for cuLaunchKernel. Returns 0, or 1 and then ptm_emulate_error() says why: a barrier that
// not all threads reach, a write outside dynamic shared memory, an unknown entry. Threads of a block are fibers; `seed` orders blocks, warps and lanes:
// a kernel whose result depends on it has a race. A warp runs as far as its next block barrier before another does, so a missing barrier
// shows. Dynamic shared memory is filled with NaN before each block. cp.async copies as late as its wait allows, or, with a seed, at once half of the time.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define EMULATED 1
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(emulator::dynamicShared())

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

namespace emulator {

struct Dim {
  unsigned x, y, z;
};

struct Copy {
  void* to;
  const void* from;
  unsigned bytes, zeros;
};

struct Fiber {
#if defined(__x86_64__)
  void* stackPointer;
#else
  ucontext_t context;
#endif
  Dim thread;
  unsigned index, lane, warp;
  bool finished;
  // Barriers passed, and whether it waits for the next one, of its warp or its block.
  unsigned warpPhase, blockPhase;
  enum Waits { nothing, forWarp, forBlock } waits;
  std::vector<std::vector<Copy>> groups;  // the last one is open
};

struct Warp {
  unsigned size, arrived, phase;
  uint64_t values[2][32][4];
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  unsigned arrived, phase, finished;
};

static Block block;
static Fiber* current;
static Dim blockIndex, blockSize, gridSize;
static std::string error;
static void (*body)(void* const*);
static void* const* arguments;
constexpr size_t guard = 4096, stackBytes = 64 << 10;
static std::vector<unsigned char> sharedBytes;
static size_t sharedSize;
static inline void* dynamicShared() {
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(sharedBytes.data()) + guard + 127) / 128 * 128);
}

#if defined(__x86_64__)
static void* schedulerStack;
asm(R"(
.text
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void emulator_switch(void** from, void* to) asm("emulator_switch");
static void enter(Fiber& f) { emulator_switch(&schedulerStack, f.stackPointer); }
static void leave() { emulator_switch(&current->stackPointer, schedulerStack); }
#else
static ucontext_t scheduler;
static void enter(Fiber& f) { swapcontext(&scheduler, &f.context); }
static void leave() { swapcontext(&current->context, &scheduler); }
#endif

static void main() {
  body(arguments);
  current->finished = true;
  block.finished++;
  for (;;) leave();
}

static void prepare(Fiber& f, char* stack) {
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(stack + stackBytes) - 2;
  *top = reinterpret_cast<void*>(&main);
  f.stackPointer = top - 6;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = stack;
  f.context.uc_stack.ss_size = stackBytes;
  f.context.uc_link = nullptr;
  makecontext(&f.context, reinterpret_cast<void (*)()>(&main), 0);
#endif
}

[[noreturn]] static void fail(const std::string& why) {
  if (error.empty()) {
    error = why + " (block " + std::to_string(blockIndex.x) + "," + std::to_string(blockIndex.y) + "," + std::to_string(blockIndex.z) + ", thread " +
            std::to_string(current->index) + ")";
  }
  for (;;) leave();
}

static void waitForWarp() {
  Warp& w = block.warps[current->warp];
  if (++w.arrived == w.size) {
    w.arrived = 0;
    w.phase++;
  }
  current->warpPhase++;
  if (w.phase == current->warpPhase) return;
  current->waits = Fiber::forWarp;
  leave();
}

static void waitForBlock() {
  if (++block.arrived == block.fibers.size()) {
    block.arrived = 0;
    block.phase++;
  }
  current->blockPhase++;
  if (block.phase == current->blockPhase) return;
  current->waits = Fiber::forBlock;
  leave();
}

// Every lane gives `value`; where all have, `take` reads the values of the warp.
template <class T, class Take>
auto exchange(T value, Take take) {
  static_assert(sizeof(T) <= sizeof(uint64_t[4]));
  Warp& w = block.warps[current->warp];
  auto& values = w.values[current->warpPhase & 1];
  memcpy(values[current->lane], &value, sizeof value);
  waitForWarp();
  return take([&](unsigned lane) {
    T other;
    memcpy(&other, values[lane & 31], sizeof other);
    return other;
  });
}

static void wholeWarp(unsigned mask) {
  if (mask != 0xffffffffu || block.warps[current->warp].size != 32) fail("a collective of less than a whole warp");
}

struct Random {
  uint64_t state;
  // 0 always from a seed of 0.
  uint32_t next() {
    if (state == 0) return 0;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return uint32_t(state >> 33);
  }
  std::vector<unsigned> order(unsigned count) {
    std::vector<unsigned> places(count);
    for (unsigned i = 0; i < count; i++) places[i] = i;
    if (state != 0)
      for (unsigned i = count; i > 1; i--) std::swap(places[i - 1], places[next() % i]);
    return places;
  }
};

static Random chance;

static void perform(const Copy& copy) {
  if (copy.bytes != 0) memcpy(copy.to, copy.from, copy.bytes);
  memset(static_cast<char*>(copy.to) + copy.bytes, 0, copy.zeros);
}

static bool runnable(const Fiber& f) {
  if (f.finished) return false;
  if (f.waits == Fiber::forWarp) return block.warps[f.warp].phase >= f.warpPhase;
  if (f.waits == Fiber::forBlock) return block.phase >= f.blockPhase;
  return true;
}

// As far as the warp gets.
static bool runWarp(unsigned warp) {
  bool ran = false;
  for (bool progress = true; progress && error.empty();) {
    progress = false;
    // Multiples of an odd number, shifted: all lanes of a whole warp, each once.
    const unsigned size = block.warps[warp].size, order = size == 32 ? chance.next() : 0, factor = order == 0 ? 1 : order | 1;
    for (unsigned i = 0; i < size; i++) {
      const unsigned lane = size == 32 ? (i * factor + (order >> 8)) % 32 : i;
      Fiber& f = block.fibers[warp * 32 + lane];
      if (!runnable(f)) continue;
      f.waits = Fiber::nothing;
      current = &f;
      enter(f);
      ran = progress = true;
      if (!error.empty()) break;
    }
  }
  return ran;
}

static void runBlock(unsigned threads, unsigned shared) {
  static std::vector<char> stacks;
  if (stacks.size() < threads * stackBytes) stacks.resize(threads * stackBytes);
  sharedSize = shared;
  sharedBytes.assign(shared + 2 * guard + 128, 0x5a);
  memset(dynamicShared(), 0xff, shared);
  block.fibers.resize(threads);
  block.warps.assign((threads + 31) / 32, Warp{});
  block.arrived = block.phase = block.finished = 0;
  for (unsigned i = 0; i < threads; i++) {
    Fiber& f = block.fibers[i];
    f.thread = {i % blockSize.x, i / blockSize.x % blockSize.y, i / blockSize.x / blockSize.y};
    f.index = i;
    f.lane = i % 32;
    f.warp = i / 32;
    block.warps[f.warp].size++;
    f.finished = false;
    f.warpPhase = f.blockPhase = 0;
    f.waits = Fiber::nothing;
    f.groups.assign(1, {});
    prepare(f, stacks.data() + i * stackBytes);
  }
  while (block.finished < threads && error.empty()) {
    bool progress = false;
    for (const unsigned warp : chance.order(unsigned(block.warps.size()))) progress |= runWarp(warp);
    if (!progress && error.empty()) error = "threads wait at a barrier that others never reach";
  }
  const unsigned char* at = static_cast<const unsigned char*>(dynamicShared());
  for (const unsigned char* p = sharedBytes.data(); p < sharedBytes.data() + sharedBytes.size(); p++)
    if ((p < at || p >= at + shared) && *p != 0x5a && error.empty())
      error = "a write outside dynamic shared memory, at byte " + std::to_string(p - at) + " of " + std::to_string(shared);
}

typedef void Body(void* const*);
static std::map<std::string, Body*>& kernels() {
  static std::map<std::string, Body*> all;
  return all;
}
struct Registered {
  Registered(const char* name, Body* body) { kernels()[name] = body; }
};
template <class... A, size_t... I>
void callWith(void (*kernel)(A...), void* const* parameters, std::index_sequence<I...>) {
  kernel(*static_cast<std::decay_t<A>*>(parameters[I])...);
}
template <class... A>
void call(void (*kernel)(A...), void* const* parameters) {
  callWith(kernel, parameters, std::index_sequence_for<A...>());
}
#define EMULATED_KERNEL(name) static emulator::Registered registered_##name(#name, [](void* const* parameters) { emulator::call(&name, parameters); });

}  // namespace emulator

extern "C" int32_t ptm_emulate(const char* entry, const uint32_t* grid, const uint32_t* threads, uint32_t shared, void* const* parameters, uint32_t seed) {
  using namespace emulator;
  error.clear();
  const auto found = kernels().find(entry);
  if (found == kernels().end()) {
    error = std::string("no kernel is named ") + entry;
    return 1;
  }
  body = found->second;
  arguments = parameters;
  gridSize = {grid[0], grid[1], grid[2]};
  blockSize = {threads[0], threads[1], threads[2]};
  const unsigned all = threads[0] * threads[1] * threads[2];
  if (all == 0 || all > 1024 || grid[0] == 0 || grid[1] == 0 || grid[2] == 0 || grid[1] > 65535 || grid[2] > 65535) {
    error = std::string(entry) + ": a grid or block of a size that no card takes";
    return 1;
  }
  chance.state = seed;
  for (const unsigned i : chance.order(grid[0] * grid[1] * grid[2])) {
    blockIndex = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / grid[1]};
    runBlock(all, shared);
    if (!error.empty()) {
      error = std::string(entry) + ": " + error;
      return 1;
    }
  }
  return 0;
}
extern "C" const char* ptm_emulate_error() { return emulator::error.c_str(); }

#define threadIdx (emulator::current->thread)
#define blockIdx emulator::blockIndex
#define blockDim emulator::blockSize
#define gridDim emulator::gridSize

static inline void __syncthreads() { emulator::waitForBlock(); }
static inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulator::wholeWarp(mask);
  emulator::waitForWarp();
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
  emulator::wholeWarp(mask);
  return emulator::exchange(value, [&](auto at) { return at(unsigned(lane)); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  return __shfl_sync(mask, value, int(emulator::current->lane) ^ distance);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  const unsigned lane = emulator::current->lane;
  return __shfl_sync(mask, value, int(lane < distance ? lane : lane - distance));
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
  emulator::wholeWarp(mask);
  return emulator::exchange(predicate, [](auto at) {
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; lane++) bits |= unsigned(at(lane) != 0) << lane;
    return bits;
  });
}

template <class T>
T atomicAdd(T* at, std::common_type_t<T> value) {
  const T old = *at;
  static_assert(std::is_integral_v<T>, "sums of floats in no fixed order");
  *at = old + value;
  return old;
}
template <class T>
T atomicMin(T* at, std::common_type_t<T> value) {
  const T old = *at;
  *at = value < old ? value : old;
  return old;
}

template <class To, class From>
static inline To emulatedBits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
static inline unsigned __float_as_uint(float x) { return emulatedBits<unsigned>(x); }
static inline int __float_as_int(float x) { return emulatedBits<int>(x); }
static inline float __uint_as_float(unsigned x) { return emulatedBits<float>(x); }
static inline float __int_as_float(int x) { return emulatedBits<float>(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)(((unsigned __int128)a * b) >> 64); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T>
T __ldg(const T* p) {
  return *p;
}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

// What kernels otherwise say in PTX. See src/device/cuda/kernels/tensor.cuh for what each does.
static inline float exponentialOf2(float x) { return std::exp2(x); }
static inline unsigned roundPair(float low, float high) {
  const auto rounded = [](float x) {
    const unsigned bits = __float_as_uint(x);
    return x != x ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  };
  return rounded(low) | rounded(high) << 16;
}
static inline void multiplyTile(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  struct Given {
    unsigned a[4], b[2];
  } given{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const unsigned group = emulator::current->lane / 4, pair = emulator::current->lane % 4;
  emulator::exchange(given, [&](auto at) {
    const auto half = [](unsigned word, unsigned which) { return __uint_as_float(which == 0 ? word << 16 : word & 0xffff0000u); };
    for (unsigned i = 0; i < 4; i++) {
      const unsigned row = group + i / 2 * 8, column = pair * 2 + i % 2;
      float sum = d[i];
      for (unsigned k = 0; k < 16; k++) {
        const float left = half(at(row % 8 * 4 + k % 8 / 2).a[row / 8 + k / 8 * 2], k % 2);
        const float right = half(at(column * 4 + k % 8 / 2).b[k / 8], k % 2);
        sum += left * right;
      }
      d[i] = sum;
    }
    return 0;
  });
}
template <bool transposed>
void loadMatrices(unsigned (&to)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) emulator::fail("ldmatrix of a row that is not aligned to 16 bytes");
  const unsigned lane = emulator::current->lane;
  emulator::exchange(row, [&](auto at) {
    for (unsigned i = 0; i < 4; i++) {
      const auto element = [&](unsigned r, unsigned c) { return static_cast<const uint16_t*>(at(i * 8 + r))[c]; };
      const unsigned a = lane / 4, b = lane % 4 * 2;
      to[i] = transposed ? element(b, a) | unsigned(element(b + 1, a)) << 16 : element(a, b) | unsigned(element(a, b + 1)) << 16;
    }
    return 0;
  });
}
static inline void copyAsync(void* to, const void* from, bool present) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || (present && reinterpret_cast<uintptr_t>(from) % 16 != 0)) emulator::fail("cp.async of 16 bytes that are not aligned");
  const emulator::Copy copy{to, from, present ? 16u : 0u, present ? 0u : 16u};
  if (emulator::chance.next() % 2 == 1) emulator::perform(copy);
  else emulator::current->groups.back().push_back(copy);
}
static inline void commitCopies() { emulator::current->groups.emplace_back(); }
template <int pending>
void waitForCopies() {
  auto& groups = emulator::current->groups;
  while (groups.size() > pending + 1) {
    for (const emulator::Copy& copy : groups.front()) emulator::perform(copy);
    groups.erase(groups.begin());
  }
}
