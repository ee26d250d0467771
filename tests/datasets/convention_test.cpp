// Windows of a text of the ids 10, 11, 12 ... by hand.

#include "datasets/convention.h"

#include <gtest/gtest.h>
#include <numeric>

#include "tests/support/expect_throw.h"

namespace kvg::datasets {
namespace {

using Ids = std::vector<std::int32_t>;

Ids text_of(std::size_t count) {
  Ids ids(count);
  std::iota(ids.begin(), ids.end(), 10);
  return ids;
}

std::vector<Window> cut(std::string_view text, const Ids& ids, Cutting cutting) {
  const Convention convention = parse_convention(text);
  if (convention.window > 0) {
    cutting.max_tokens = convention.window;
  }
  cutting.stride = convention.stride;
  return convention.info->cut(ids, cutting);
}

void expect_window(const Window& window, const Ids& ids, std::int32_t first_scored) {
  EXPECT_EQ(window.ids, ids);
  EXPECT_EQ(window.first_scored, first_scored);
}

TEST(Gptq, HasOneBosAndDropsTheRest) {
  const auto windows = cut("gptq-4", text_of(8), {.bos = 1, .most = 99});
  ASSERT_EQ(windows.size(), 2U);
  expect_window(windows[0], {1, 10, 11, 12}, 1);
  expect_window(windows[1], {13, 14, 15, 16}, 1);
}

TEST(LlamaCpp, PutsABosFirstAndScoresTheSecondHalf) {
  const auto windows = cut("llama.cpp-6", text_of(12), {.bos = 1, .most = 99});
  ASSERT_EQ(windows.size(), 2U);
  // 6 / 2 - 1 tokens are scored, as there: those after position 3.
  expect_window(windows[0], {1, 10, 11, 12, 13, 14}, 4);
  expect_window(windows[1], {1, 16, 17, 18, 19, 20}, 4);
}

TEST(LlamaCpp, LeavesTheFirstTokenWithoutABos) {
  const auto windows = cut("llama.cpp-4", text_of(4), {.bos = {}, .most = 99});
  ASSERT_EQ(windows.size(), 1U);
  expect_window(windows[0], {10, 11, 12, 13}, 3);
}

TEST(Stride, ScoresEveryTokenOnce) {
  const auto windows =
      cut("stride-2", text_of(7), {.bos = {}, .max_tokens = 4, .stride = 0, .most = 99});
  ASSERT_EQ(windows.size(), 3U);
  expect_window(windows[0], {10, 11, 12, 13}, 1);
  expect_window(windows[1], {12, 13, 14, 15}, 2);
  expect_window(windows[2], {14, 15, 16}, 2);
}

TEST(Stride, MovesBy512UnlessToldOtherwise) {
  EXPECT_EQ(parse_convention("stride").stride, 512);
  EXPECT_EQ(parse_convention("stride").text, "stride");
}

TEST(Stream, PutsABosBeforeEveryStretch) {
  const auto windows = cut("stream", text_of(5), {.bos = 1, .max_tokens = 3, .most = 2});
  ASSERT_EQ(windows.size(), 2U);
  expect_window(windows[0], {1, 10, 11}, 1);
  expect_window(windows[1], {1, 12, 13}, 1);
}

TEST(Conventions, KeepToTheNumberOfWindows) {
  for (const char* name : {"gptq-4", "llama.cpp-4", "stride-2"}) {
    EXPECT_EQ(cut(name, text_of(40), {.bos = {}, .max_tokens = 4, .stride = 0, .most = 3}).size(),
              3U)
        << name;
  }
}

TEST(Conventions, RefuseWhatIsNone) {
  for (const char* text : {"",
                           "gptq",
                           "gptq-",
                           "gptq-1",
                           "gptq-9999999999",
                           "gptq-20x",
                           "stream-3",
                           "stride-0",
                           "wiki-512",
                           "llama.cpp"}) {
    testing_support::expect_invalid(
        [text] { static_cast<void>(parse_convention(text)); },
        "is unknown; allowed: stream, gptq-N, llama.cpp-N, stride or stride-N");
  }
}

}  // namespace
}  // namespace kvg::datasets
