// Persistent threads that run a program in lock step.
#pragma once
#include <atomic>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

// Spins briefly, then parks.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait();

 private:
  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> phase_{0};
  std::atomic<int> parked_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Tasks of a phase are taken by ticket, so that a slow thread takes fewer; no result depends on who takes which.
constexpr int phaseSlots = 8;
struct Shared {
  explicit Shared(int members) : barrier(members) {}
  Barrier barrier;
  alignas(64) std::atomic<long> tickets[phaseSlots] = {};
  // The earliest launch (counted over all repeats) after which the program stops, and why.
  alignas(64) std::atomic<int64_t> stopAfter{INT64_MAX};
  std::mutex faultMutex;
  bool faulty = false;
  int32_t fault[4] = {};
};

// One thread's view of a run.
struct Worker {
  int index;
  int count;
  Shared* shared;
  char* sharedScratch;
  char* ownScratch;
  int64_t sequence = 0;
  int launch = 0;
  int phase = 0;

  void begin() {
    phase = (phase + 1) % phaseSlots;
    if (index == 0) shared->tickets[(phase + phaseSlots / 2) % phaseSlots].store(0, std::memory_order_relaxed);
  }
  long take() { return shared->tickets[phase].fetch_add(1, std::memory_order_relaxed); }
  void barrier() { shared->barrier.wait(); }
  void stop() {
    int64_t seen = shared->stopAfter.load();
    while (sequence < seen && !shared->stopAfter.compare_exchange_weak(seen, sequence)) {
    }
  }
  // A value outside its range: the launch finishes without it and the program stops.
  void fault(int64_t row, int64_t value, int64_t limit);
};

// Runs task(t) for t in [0, tasks) on all workers; every worker calls it, and it ends with a barrier.
template <class Task>
void forTasks(Worker& worker, long tasks, Task task) {
  worker.begin();
  for (long t; (t = worker.take()) < tasks;) task(t);
  worker.barrier();
}

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  int threads() const { return threads_; }
  Shared& shared() { return shared_; }
  // Runs job(index) on every thread, the caller being thread 0; one job at a time.
  void run(const std::function<void(int)>& job);

 private:
  void serve(int index);
  const int threads_;
  Shared shared_;
  std::mutex jobMutex_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable finished_;
  const std::function<void(int)>* job_ = nullptr;
  uint64_t generation_ = 0;
  int running_ = 0;
  bool closing_ = false;
  std::vector<std::thread> members_;
};
