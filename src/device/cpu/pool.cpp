#include "pool.h"

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() asm volatile("yield")
#else
#define RELAX()
#endif

// Some 100 microseconds: a program's next launch, and the caller's next program, come sooner.
template <class Condition>
static bool spinUntil(Condition condition) {
  for (int spin = 0; spin < 4000; spin++) {
    if (condition()) return true;
    RELAX();
  }
  return false;
}

void Barrier::wait() {
  if (members_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_seq_cst);
    if (parked_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    return;
  }
  if (spinUntil([&] { return phase_.load(std::memory_order_acquire) != phase; })) return;
  std::unique_lock<std::mutex> lock(mutex_);
  parked_.fetch_add(1, std::memory_order_seq_cst);
  wake_.wait(lock, [&] { return phase_.load(std::memory_order_seq_cst) != phase; });
  parked_.fetch_sub(1, std::memory_order_relaxed);
}

void Worker::fault(int64_t row, int64_t value, int64_t limit) {
  std::lock_guard<std::mutex> lock(shared->faultMutex);
  if (!shared->faulty) {
    shared->faulty = true;
    shared->fault[0] = launch;
    shared->fault[1] = int32_t(row);
    shared->fault[2] = int32_t(value);
    shared->fault[3] = int32_t(limit);
  }
  stop();
}

Pool::Pool(int threads) : threads_(threads), shared_(threads) {
  for (int index = 1; index < threads; index++) members_.emplace_back([this, index] { serve(index); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (auto& member : members_) member.join();
}

void Pool::serve(int index) {
  uint64_t seen = 0;
  for (;;) {
    const std::function<void(int)>* job;
    spinUntil([&] { return generation_.load(std::memory_order_relaxed) != seen; });
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || generation_ != seen; });
      if (closing_) return;
      seen = generation_;
      job = job_;
    }
    (*job)(index);
    std::lock_guard<std::mutex> lock(mutex_);
    if (--running_ == 0) finished_.notify_one();
  }
}

void Pool::run(const std::function<void(int)>& job) {
  std::lock_guard<std::mutex> one(jobMutex_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    job_ = &job;
    running_ = threads_ - 1;
    generation_++;
  }
  wake_.notify_all();
  job(0);
  spinUntil([&] { return running_.load(std::memory_order_relaxed) == 0; });
  std::unique_lock<std::mutex> lock(mutex_);
  finished_.wait(lock, [&] { return running_ == 0; });
}
