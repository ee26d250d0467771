#include "kernels/cursor.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

namespace kvg::kernels {
namespace {

void expect_cursor(std::int32_t position, const SlotRule& rule, const StepCursor& want) {
  const StepCursor got = cursor_at(position, rule);
  EXPECT_EQ(got.position, want.position) << position;
  EXPECT_EQ(got.entries, want.entries) << position;
  EXPECT_EQ(got.slot, want.slot) << position;
  EXPECT_EQ(got.sink_position, want.sink_position) << position;
}

TEST(Cursor, WithoutABudgetEverythingStays) {
  expect_cursor(0, {}, {.position = 0, .entries = 1, .slot = 0, .sink_position = 0});
  expect_cursor(1999, {}, {.position = 1999, .entries = 2000, .slot = 1999, .sink_position = 1999});
}

TEST(Cursor, AWindowOverwritesTheOldest) {
  const SlotRule rule = {.slots = 3};
  expect_cursor(2, rule, {.position = 2, .entries = 3, .slot = 2, .sink_position = 2});
  expect_cursor(3, rule, {.position = 3, .entries = 3, .slot = 0, .sink_position = 3});
  expect_cursor(4, rule, {.position = 4, .entries = 3, .slot = 1, .sink_position = 4});
  expect_cursor(5, rule, {.position = 5, .entries = 3, .slot = 2, .sink_position = 5});
  expect_cursor(6, rule, {.position = 6, .entries = 3, .slot = 0, .sink_position = 6});
}

TEST(Cursor, SinksStayAndAreLookedAtFromTheEndOfTheCache) {
  const SlotRule rule = {.slots = 5, .sinks = 2, .cache_positions = true};
  expect_cursor(4, rule, {.position = 4, .entries = 5, .slot = 4, .sink_position = 4});
  expect_cursor(5, rule, {.position = 5, .entries = 5, .slot = 2, .sink_position = 4});
  expect_cursor(7, rule, {.position = 7, .entries = 5, .slot = 4, .sink_position = 4});
  expect_cursor(8, rule, {.position = 8, .entries = 5, .slot = 2, .sink_position = 4});
}

TEST(Cursor, OriginalPositionsLookFromTheText) {
  const SlotRule rule = {.slots = 5, .sinks = 2, .cache_positions = false};
  expect_cursor(9, rule, {.position = 9, .entries = 5, .slot = 3, .sink_position = 9});
}

// A list of positions from which the oldest that is no sink is struck when it is full.
class Simulation {
 public:
  explicit Simulation(const SlotRule& rule) : rule_(rule) {}

  void feed(std::int32_t position) {
    if (static_cast<std::int32_t>(kept_.size()) == rule_.slots) {
      kept_.erase(kept_.begin() + rule_.sinks);
    }
    kept_.push_back(position);
  }
  [[nodiscard]] const std::vector<std::int32_t>& kept() const { return kept_; }

 private:
  SlotRule rule_;
  std::vector<std::int32_t> kept_;
};

TEST(Cursor, AgreesWithASimulation) {
  for (std::int32_t slots = 1; slots <= 9; ++slots) {
    for (std::int32_t sinks = 0; sinks < slots; ++sinks) {
      const SlotRule rule = {.slots = slots, .sinks = sinks, .cache_positions = true};
      Simulation simulation(rule);
      std::vector<std::int32_t> storage;
      for (std::int32_t position = 0; position < 50; ++position) {
        simulation.feed(position);
        const StepCursor cursor = cursor_at(position, rule);
        storage.resize(static_cast<std::size_t>(cursor.entries), -1);
        storage.at(static_cast<std::size_t>(cursor.slot)) = position;
        std::vector<std::int32_t> stored = storage;
        std::ranges::sort(stored);
        EXPECT_EQ(stored, simulation.kept()) << slots << " slots, " << sinks << " sinks";
        EXPECT_EQ(cursor.sink_position, static_cast<std::int32_t>(simulation.kept().size()) - 1);
      }
    }
  }
}

}  // namespace
}  // namespace kvg::kernels
