// The program interpreter and the C interface.
#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <new>

#include "launch.h"

#if defined(__aarch64__)
#define VECTOR_REGISTER "w"
#else
#define VECTOR_REGISTER "x"
#endif

namespace {

struct Entry {
  Kernel* run;
  ScratchSize* scratch;
};
#define ENTRY(name) {run_##name, scratch_##name}
// In the order of the kernel table.
const Entry entries[] = {
    ENTRY(fill), ENTRY(add), ENTRY(scale), ENTRY(embedding), ENTRY(embeddingGradient),
    ENTRY(layernorm), ENTRY(layernormGradient), ENTRY(rmsnorm), ENTRY(rmsnormGradient),
    ENTRY(swiglu), ENTRY(swigluGradient), ENTRY(rotaryTable), ENTRY(rotary), ENTRY(matmul), ENTRY(gelu),
    ENTRY(biasGradient), ENTRY(attention), ENTRY(attentionGradient), ENTRY(lmHead),
    ENTRY(lmHeadGradient), ENTRY(lmHeadLoss), ENTRY(scalarHead), ENTRY(scalarHeadGradient),
    ENTRY(gradientNorm), ENTRY(adamw), ENTRY(cacheWrite), ENTRY(decodeAttention),
    ENTRY(sample),
};
#undef ENTRY
static_assert(sizeof entries / sizeof entries[0] == op_count, "an entry for each kernel of the table");
static_assert(op_matmul == 13 && op_lmHead == 18 && op_gradientNorm == 23 && op_sample == 27, "the table's order");

// Large memory lies in huge pages where the system grants them on request: kernels walk it in strides of many pages.
constexpr uint64_t hugePage = 2 << 20;
void* allocate(uint64_t bytes) {
  const uint64_t alignment = bytes >= hugePage ? hugePage : 64;
  const uint64_t size = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, size == 0 ? 64 : size);
#ifdef MADV_HUGEPAGE
  if (memory != nullptr && alignment == hugePage) madvise(memory, size, MADV_HUGEPAGE);
#endif
  return memory;
}

// Scratch with a band behind it that no kernel may write.
class Guarded {
 public:
  explicit Guarded(uint64_t bytes) : bytes_(bytes), memory_(static_cast<char*>(allocate(bytes + band))) {
    if (memory_ != nullptr) memset(memory_ + bytes_, mark, band);
  }
  Guarded(Guarded&& other) noexcept : bytes_(other.bytes_), memory_(other.memory_) { other.memory_ = nullptr; }
  ~Guarded() { std::free(memory_); }
  char* get() const { return memory_; }
  bool whole() const {
    for (uint64_t i = 0; i < band; i++)
      if (memory_[bytes_ + i] != mark) return false;
    return true;
  }

 private:
  static constexpr uint64_t band = 4096;
  static constexpr char mark = 0x5a;
  uint64_t bytes_;
  char* memory_;
};

struct Program {
  std::vector<Launch> launches;
  int threads;
  // The shared scratch, then each worker's own.
  std::vector<Guarded> scratch;
  std::atomic<bool> cancelled{false};
};

void runWorker(Program& program, Pool& pool, int64_t times, int index) {
  Worker worker{index, pool.threads(), &pool.shared(), program.scratch[0].get(), program.scratch[1 + index].get()};
  for (int64_t time = 0; time < times; time++) {
    worker.launch = 0;
    for (const Launch& launch : program.launches) {
      if (index == 0 && program.cancelled.load(std::memory_order_relaxed)) worker.stop();
      entries[launch.opcode].run(launch, worker);
      // A later launch's stop has a later number, so all workers leave after the same launch.
      if (pool.shared().stopAfter.load() <= worker.sequence) return;
      worker.sequence++;
      worker.launch++;
    }
  }
}

}  // namespace

extern "C" {

void* ptm_pool_create(int32_t threads) { return new (std::nothrow) Pool(threads); }
void ptm_pool_destroy(void* pool) { delete static_cast<Pool*>(pool); }

void* ptm_allocate(uint64_t bytes) {
  void* memory = allocate(bytes);
  if (memory != nullptr) memset(memory, 0, bytes);
  return memory;
}
void ptm_free(void* memory) { std::free(memory); }
void ptm_write(void* memory, uint64_t offset, const void* data, uint64_t bytes) {
  memcpy(static_cast<char*>(memory) + offset, data, bytes);
}
void ptm_read(const void* memory, uint64_t offset, void* into, uint64_t bytes) {
  memcpy(into, static_cast<const char*>(memory) + offset, bytes);
}

void* ptm_program_create(const int64_t* words, int64_t count, int32_t threads) {
  auto* program = new (std::nothrow) Program;
  if (program == nullptr) return nullptr;
  program->threads = threads;
  const int64_t* end = words + count;
  const int64_t launches = *words++;
  Scratch scratch;
  for (int64_t l = 0; l < launches; l++) {
    if (end - words < 4) break;
    Launch launch{};
    launch.opcode = int(words[0]);
    const int64_t buffers = words[1], integers = words[2], reals = words[3];
    words += 4;
    if (launch.opcode < 0 || launch.opcode >= op_count || buffers > 12 || integers > 9 || reals > 6) break;
    for (int64_t i = 0; i < buffers; i++) launch.buffers[i] = reinterpret_cast<void*>(*words++);
    for (int64_t i = 0; i < integers; i++) launch.integers[i] = *words++;
    memcpy(launch.reals, words, size_t(reals) * sizeof(double));
    words += reals;
    scratch.cover(entries[launch.opcode].scratch(launch, threads));
    program->launches.push_back(launch);
  }
  bool whole = int64_t(program->launches.size()) == launches && words == end;
  for (int t = 0; t <= threads; t++) {
    program->scratch.emplace_back(t == 0 ? scratch.shared : scratch.own);
    whole = whole && program->scratch.back().get() != nullptr;
  }
  if (whole) return program;
  delete program;
  return nullptr;
}
void ptm_program_destroy(void* program) { delete static_cast<Program*>(program); }
// The caller clears the flag before a run: a cancel that comes too late must not stop the next one.
void ptm_program_cancel(void* program, int32_t cancelled) { static_cast<Program*>(program)->cancelled.store(cancelled != 0); }

int32_t ptm_program_run(void* programPointer, void* poolPointer, int64_t times, int32_t* fault) {
  auto& program = *static_cast<Program*>(programPointer);
  auto& pool = *static_cast<Pool*>(poolPointer);
  int32_t result = 0;
  pool.run([&](int index) {
    Shared& shared = pool.shared();
    // The caller sets the state of the run; the others wait for it.
    if (index == 0) {
      shared.stopAfter.store(INT64_MAX);
      shared.faulty = false;
      for (Ticket& ticket : shared.tickets) ticket.next.store(0);
    }
    shared.barrier.wait();
    runWorker(program, pool, times, index);
    shared.barrier.wait();
    if (index == 0) {
      if (shared.faulty) {
        result = 2;
        memcpy(fault, shared.fault, sizeof shared.fault);
      } else if (program.cancelled.load()) {
        result = 1;
      }
      for (const Guarded& scratch : program.scratch)
        if (!scratch.whole()) result = 3;
    }
  });
  return result;
}

// FLOP/s of fused multiply-adds in registers on one thread, over about the given number of milliseconds.
double ptm_peak(int32_t milliseconds) {
  vec accumulators[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; i++) accumulators[i] = splat(real(i));
  const vec x = splat(real(0.999)), y = splat(real(0.001));
  const auto start = std::chrono::steady_clock::now();
  double flops = 0, seconds = 0;
  do {
    for (int repeat = 0; repeat < 10000; repeat++) {
#pragma GCC unroll 12
      for (int i = 0; i < 12; i++) accumulators[i] = accumulators[i] * x + y;
#pragma GCC unroll 12
      for (int i = 0; i < 12; i++) asm volatile("" : "+" VECTOR_REGISTER(accumulators[i]));
    }
    flops += 10000.0 * 12 * VL * 2;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  } while (seconds * 1000 < milliseconds);
  return flops / seconds;
}
}
