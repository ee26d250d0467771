#include "kernels/cursor.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

namespace kvg::kernels {
namespace {

HeadCursor advanced(HeadCursor head, int steps) {
  for (int i = 0; i < steps; ++i) {
    head = next_of(head);
  }
  return head;
}

void expect_cursor(const HeadCursor& got, std::int32_t entries, std::int32_t slot) {
  EXPECT_EQ(got.entries, entries);
  EXPECT_EQ(got.slot, slot);
}

TEST(Cursor, WithoutABudgetEverythingStays) {
  expect_cursor({}, 1, 0);
  expect_cursor(advanced({}, 1999), 2000, 1999);
}

TEST(Cursor, AWindowOverwritesTheOldest) {
  const HeadCursor head = {.limit = 3};
  expect_cursor(advanced(head, 2), 3, 2);
  expect_cursor(advanced(head, 3), 3, 0);
  expect_cursor(advanced(head, 4), 3, 1);
  expect_cursor(advanced(head, 5), 3, 2);
  expect_cursor(advanced(head, 6), 3, 0);
}

TEST(Cursor, SinksStay) {
  const HeadCursor head = {.limit = 5, .sinks = 2};
  expect_cursor(advanced(head, 4), 5, 4);
  expect_cursor(advanced(head, 5), 5, 2);
  expect_cursor(advanced(head, 7), 5, 4);
  expect_cursor(advanced(head, 8), 5, 2);
}

TEST(Cursor, WhatAHeadIsDoesNotMove) {
  const HeadCursor head = {
      .start = 96, .limit = 5, .sinks = 2, .packed_keys = 3, .packed_values = 1};
  const HeadCursor later = advanced(head, 9);
  EXPECT_EQ(later.start, 96);
  EXPECT_EQ(later.limit, 5);
  EXPECT_EQ(later.sinks, 2);
  EXPECT_EQ(later.packed_keys, 3);
  EXPECT_EQ(later.packed_values, 1);
}

// Positions from which the oldest that is no sink is struck when they are `limit`.
void feed(std::vector<std::int32_t>& kept, const HeadCursor& head, std::int32_t position) {
  if (static_cast<std::int32_t>(kept.size()) == head.limit) {
    kept.erase(kept.begin() + head.sinks);
  }
  kept.push_back(position);
}

TEST(Cursor, AgreesWithASimulation) {
  for (std::int32_t limit = 1; limit <= 9; ++limit) {
    for (std::int32_t sinks = 0; sinks < limit; ++sinks) {
      HeadCursor head = {.limit = limit, .sinks = sinks};
      std::vector<std::int32_t> kept;
      std::vector<std::int32_t> storage;
      for (std::int32_t position = 0; position < 50; ++position) {
        feed(kept, head, position);
        storage.resize(static_cast<std::size_t>(head.entries), -1);
        storage.at(static_cast<std::size_t>(head.slot)) = position;
        std::vector<std::int32_t> stored = storage;
        std::ranges::sort(stored);
        EXPECT_EQ(stored, kept) << limit << " slots, " << sinks << " sinks";
        head = next_of(head);
      }
    }
  }
}

}  // namespace
}  // namespace kvg::kernels
