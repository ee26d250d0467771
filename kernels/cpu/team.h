#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace kvg::kernels::cpu {

/// Threads that share out the tasks of one operation at a time.
///
/// The caller works too, and a thread that comes late finds less left to do, so that an operation
/// never waits for a thread that other processes keep off its core. (OpenMP ends every region with
/// a barrier of all threads.)
class Team {
 public:
  /// The caller and `threads - 1` more.
  explicit Team(int threads);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls work(task, thread) for every task in [0, tasks), thread in [0, threads()), and returns
  /// when all are done. Tasks are taken from the last one down. `work` must not throw. One caller
  /// at a time.
  template <typename Work>
  void run(int tasks, const Work& work) {
    run_job({.call = [](const void* context,
                        int task,
                        int thread) { (*static_cast<const Work*>(context))(task, thread); },
             .context = &work},
            tasks);
  }

 private:
  struct Job {
    void (*call)(const void* context, int task, int thread) = nullptr;
    const void* context = nullptr;
  };

  void run_job(const Job& job, int tasks);
  void work_until_stopped(int thread);
  bool work_on_one_task(int thread);
  void finish_task();

  // The number of the job in the upper half, how many of its tasks are unclaimed in the lower: a
  // claim succeeds only for the job that was looked at.
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<std::uint32_t> jobs_{0};  ///< what idle threads wait on
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  std::atomic<void (*)(const void*, int, int)> call_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<bool> stopped_{false};
  std::vector<std::thread> workers_;
};

}  // namespace kvg::kernels::cpu
