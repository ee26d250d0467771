#include "kernels/cpu/team.h"

#include <atomic>
#include <gtest/gtest.h>
#include <vector>

namespace kvg::kernels::cpu {
namespace {

TEST(Team, DoesEveryTaskOnce) {
  for (const int threads : {1, 2, 5}) {
    Team team(threads);
    EXPECT_EQ(team.threads(), threads);
    for (const int tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(tasks));
      std::atomic<bool> is_thread_known = true;
      team.run(tasks, [&](int task, int thread) {
        ++done.at(static_cast<std::size_t>(task));
        if (thread < 0 || thread >= threads) {
          is_thread_known = false;
        }
      });
      for (const std::atomic<int>& count : done) {
        EXPECT_EQ(count, 1) << threads << " threads, " << tasks << " tasks";
      }
      EXPECT_TRUE(is_thread_known);
    }
  }
}

// Each job reads what the one before wrote, in another order.
TEST(Team, JobsFollowOneAnother) {
  Team team(4);
  constexpr int kTasks = 16;
  constexpr int kJobs = 20000;
  std::vector<int> values(kTasks, 0);
  std::vector<int> next(kTasks, 0);
  for (int job = 0; job < kJobs; ++job) {
    team.run(kTasks, [&](int task, int) {
      next[static_cast<std::size_t>(task)] =
          values[static_cast<std::size_t>(kTasks - 1 - task)] + 1;
    });
    values.swap(next);
  }
  EXPECT_EQ(values, std::vector<int>(kTasks, kJobs));
}

// A stop may meet a thread at any point of its loop.
TEST(Team, StopsRightAfterAJob) {
  for (int i = 0; i < 3000; ++i) {
    std::atomic<int> done = 0;
    {
      Team team(4);
      team.run(i % 7, [&](int, int) { ++done; });
    }
    ASSERT_EQ(done, i % 7);
  }
}

// A scratch tile belongs to one thread at a time.
TEST(Team, NoTwoTasksShareAThread) {
  Team team(3);
  std::vector<std::atomic<int>> busy(3);
  std::atomic<int> clashes = 0;
  for (int job = 0; job < 500; ++job) {
    team.run(32, [&](int, int thread) {
      std::atomic<int>& flag = busy[static_cast<std::size_t>(thread)];
      clashes += flag.fetch_add(1) == 0 ? 0 : 1;
      flag.fetch_sub(1);
    });
  }
  EXPECT_EQ(clashes, 0);
}

}  // namespace
}  // namespace kvg::kernels::cpu
