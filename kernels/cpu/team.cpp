#include "kernels/cpu/team.h"

#include <chrono>

namespace kvg::kernels::cpu {
namespace {

constexpr std::uint64_t kJobUnit = std::uint64_t{1} << 32;
constexpr std::uint64_t kTaskMask = kJobUnit - 1;

// Longer than the pauses between the operations of a step, short enough to leave the core to others
// when a run has ended.
constexpr auto kSpinTime = std::chrono::microseconds(50);
constexpr int kSpinsPerLook = 32;

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Waits until `value` is no longer `old`: spins for a while, then sleeps.
template <typename T>
void wait_for_change(const std::atomic<T>& value, T old) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kSpinsPerLook; ++i) {
      if (value.load(std::memory_order_acquire) != old) {
        return;
      }
      pause_core();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(int threads) {
  for (int thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { work_until_stopped(thread); });
  }
}

Team::~Team() {
  stopped_.store(true, std::memory_order_relaxed);
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void Team::run_job(const Job& job, int tasks) {
  if (workers_.empty() || tasks <= 1) {
    for (int task = tasks - 1; task >= 0; --task) {
      job.call(job.context, task, 0);
    }
    return;
  }
  // No task is unclaimed, so nobody looks at these while they change.
  call_.store(job.call, std::memory_order_relaxed);
  context_.store(job.context, std::memory_order_relaxed);
  const auto count = static_cast<std::uint32_t>(tasks);
  unfinished_.store(count, std::memory_order_relaxed);
  const std::uint64_t last = ticket_.load(std::memory_order_relaxed) & ~kTaskMask;
  ticket_.store(last + kJobUnit + count, std::memory_order_release);
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  while (work_on_one_task(0)) {
  }
  for (std::uint32_t left = unfinished_.load(std::memory_order_acquire); left != 0;
       left = unfinished_.load(std::memory_order_acquire)) {
    wait_for_change(unfinished_, left);
  }
}

// False when no task of the current job is left to claim.
bool Team::work_on_one_task(int thread) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & kTaskMask) != 0) {
    const auto call = call_.load(std::memory_order_relaxed);
    const void* context = context_.load(std::memory_order_relaxed);
    if (ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) {
      call(context, static_cast<int>((ticket & kTaskMask) - 1), thread);
      finish_task();
      return true;
    }
  }
  return false;
}

void Team::finish_task() {
  if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    unfinished_.notify_one();
  }
}

void Team::work_until_stopped(int thread) {
  while (true) {
    // Read before the flag: a stop between the two would otherwise be slept through.
    const std::uint32_t seen = jobs_.load(std::memory_order_acquire);
    if (stopped_.load(std::memory_order_relaxed)) {
      return;
    }
    while (work_on_one_task(thread)) {
    }
    wait_for_change(jobs_, seen);
  }
}

}  // namespace kvg::kernels::cpu
