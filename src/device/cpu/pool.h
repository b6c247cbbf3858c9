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

// Tasks of a phase are taken by ticket: each worker's own share first, so that it finds in its caches what it wrote in the phases before, then
// what slower workers left of theirs. No result depends on who takes which.
constexpr int phaseSlots = 8;
struct alignas(64) Ticket {
  std::atomic<long> next{0};
};
struct Shared {
  explicit Shared(int members) : barrier(members), tickets(size_t(phaseSlots) * size_t(members)) {}
  Barrier barrier;
  std::vector<Ticket> tickets;
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

  std::atomic<long>& ticket(int slot, int owner) { return shared->tickets[size_t(slot * count + owner)].next; }
  // There is a barrier after every second phase at least, so nobody is half the slots behind.
  void begin() {
    phase = (phase + 1) % phaseSlots;
    ticket((phase + phaseSlots / 2) % phaseSlots, index).store(0, std::memory_order_relaxed);
  }
  void barrier() { shared->barrier.wait(); }
  void stop() {
    int64_t seen = shared->stopAfter.load();
    while (sequence < seen && !shared->stopAfter.compare_exchange_weak(seen, sequence)) {
    }
  }
  // A value outside its range: the launch finishes without it and the program stops.
  void fault(int64_t row, int64_t value, int64_t limit);
};

// Runs task(t) for t in [0, tasks) on all workers; every worker calls it, and nobody waits for the others at its end.
template <class Task>
void startTasks(Worker& worker, long tasks, Task task) {
  worker.begin();
  for (int i = 0; i < worker.count; i++) {
    const int owner = (worker.index + i) % worker.count;
    const long first = tasks * owner / worker.count, share = tasks * (owner + 1) / worker.count - first;
    std::atomic<long>& next = worker.ticket(worker.phase, owner);
    while (next.load(std::memory_order_relaxed) < share) {
      const long taken = next.fetch_add(1, std::memory_order_relaxed);
      if (taken < share) task(first + taken);
    }
  }
}

// The same, ending with a barrier.
template <class Task>
void forTasks(Worker& worker, long tasks, Task task) {
  startTasks(worker, tasks, task);
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
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> running_{0};
  bool closing_ = false;
  std::vector<std::thread> members_;
};
