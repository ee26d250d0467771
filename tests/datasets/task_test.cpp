// Tasks with a token a word, so that lengths can be counted by hand.

#include "datasets/task.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/support/expect_throw.h"

namespace kvg::datasets {
namespace {

std::size_t count_words(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::size_t count = 0;
  for (std::string word; in >> word;) {
    ++count;
  }
  return count;
}

TaskSample sample_of(std::string_view name, const TaskRequest& request) {
  return make_sample(*find_task(name), request, count_words);
}

std::string text_of(const TaskSample& sample) {
  return sample.prompt.context + sample.prompt.question;
}

class EveryTask : public testing::TestWithParam<TaskInfo> {};

TEST_P(EveryTask, FillsTheContextAndNoMore) {
  for (const std::size_t context : {std::size_t{500}, std::size_t{2000}}) {
    const TaskSample sample =
        make_sample(GetParam(), {.context = context, .depth = 50, .seed = 1}, count_words);
    const std::size_t tokens = count_words(text_of(sample));
    EXPECT_LE(tokens, context);
    // One more sentence of the novel, the largest unit, has up to 100 words.
    EXPECT_GT(tokens, context - 110);
  }
}

TEST_P(EveryTask, DrawsTheSameOfASeedAndAnotherOfAnother) {
  const TaskRequest request{.context = 600, .depth = 25, .seed = 7};
  const TaskSample first = make_sample(GetParam(), request, count_words);
  const TaskSample again = make_sample(GetParam(), request, count_words);
  EXPECT_EQ(text_of(first), text_of(again));
  EXPECT_EQ(first.references, again.references);
  TaskRequest other = request;
  other.seed = 8;
  EXPECT_NE(make_sample(GetParam(), other, count_words).references, first.references);
}

TEST_P(EveryTask, TheContextHoldsWhatIsAskedFor) {
  for (const std::int32_t depth : {0, 37, 100}) {
    const TaskSample sample =
        make_sample(GetParam(), {.context = 700, .depth = depth, .seed = 3}, count_words);
    for (const std::string& reference : sample.references) {
      EXPECT_NE(sample.prompt.context.find(reference), std::string::npos) << reference;
      EXPECT_EQ(sample.prompt.question.find(reference), std::string::npos) << reference;
    }
  }
}

TEST_P(EveryTask, ScoresARightAnswerOneAndNoneZero) {
  const TaskSample sample =
      make_sample(GetParam(), {.context = 600, .depth = 50, .seed = 5}, count_words);
  std::string answer;
  for (const std::string& reference : sample.references) {
    answer += " " + reference;
  }
  EXPECT_EQ(GetParam().score(answer + ".", sample.references) >= 15.0 / 16.0, true) << answer;
  EXPECT_EQ(GetParam().score("", sample.references), 0.0);
  EXPECT_EQ(GetParam().score("I do not know.", sample.references), 0.0);
}

TEST_P(EveryTask, RefusesAContextThatHoldsNothing) {
  testing_support::expect_invalid(
      [] {
        static_cast<void>(
            make_sample(GetParam(), {.context = 16, .depth = 0, .seed = 1}, count_words));
      },
      "--context 16 is too short for " + std::string(GetParam().name) + "; allowed: from ");
}

INSTANTIATE_TEST_SUITE_P(All,
                         EveryTask,
                         testing::ValuesIn(tasks().begin(), tasks().end()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(Tasks, AnUnknownNameIsNone) {
  EXPECT_EQ(find_task("nosuch"), nullptr);
  EXPECT_EQ(find_task(""), nullptr);
}

// The share of the prompt's words that come before the needle.
double place_of(const TaskSample& sample, const std::string& needle) {
  const std::string& text = sample.prompt.context;
  const std::size_t at = text.find(needle);
  EXPECT_NE(at, std::string::npos);
  return static_cast<double>(count_words(std::string_view(text).substr(0, at))) /
         static_cast<double>(count_words(text));
}

TEST(Tasks, WhatIsAskedForLiesAtItsDepth) {
  for (const char* name : {"niah", "niah_multikey", "passkey", "kv_lookup", "copy"}) {
    for (const std::int32_t depth : {0, 25, 50, 100}) {
      const TaskSample sample = sample_of(name, {.context = 3000, .depth = depth, .seed = 11});
      // A depth counts sentences, which differ in length.
      EXPECT_NEAR(place_of(sample, sample.references.front()), depth / 100.0, 0.07)
          << name << " " << depth;
    }
  }
}

TEST(Tasks, NiahSpeaksRulersWords) {
  const TaskSample one = sample_of("niah", {.context = 300, .depth = 0, .seed = 2});
  ASSERT_EQ(one.references.size(), 1U);
  EXPECT_EQ(one.references.front().size(), 7U);
  EXPECT_TRUE(one.prompt.context.starts_with(
      "A special magic number is hidden within the following text. Make sure to memorize it. I "
      "will quiz you about the number afterwards.\nOne of the special magic numbers for "))
      << one.prompt.context;
  const std::size_t at = one.prompt.question.find(" for ") + 5;
  const std::string key = one.prompt.question.substr(at, one.prompt.question.find(' ', at) - at);
  EXPECT_NE(one.prompt.context.find("One of the special magic numbers for " + key +
                                    " is: " + one.references.front() + "."),
            std::string::npos);
  EXPECT_EQ(one.prompt.question,
            "What is the special magic number for " + key +
                " mentioned in the provided text? The special magic number for " + key +
                " mentioned in the provided text is");
}

TEST(Tasks, NiahAsksForOneOfManyAndForAll) {
  const auto needles = [](const TaskSample& sample) {
    std::size_t count = 0;
    const std::string needle = "One of the special magic numbers for ";
    for (std::size_t at = sample.prompt.context.find(needle); at != std::string::npos;
         at = sample.prompt.context.find(needle, at + 1)) {
      ++count;
    }
    return count;
  };
  const TaskRequest request{.context = 900, .depth = 50, .seed = 4};
  EXPECT_EQ(needles(sample_of("niah_multikey", request)), 4U);
  EXPECT_EQ(sample_of("niah_multikey", request).references.size(), 1U);
  EXPECT_EQ(needles(sample_of("niah_multivalue", request)), 4U);
  EXPECT_EQ(sample_of("niah_multivalue", request).references.size(), 4U);
  const TaskSample all = sample_of("niah_multiquery", request);
  EXPECT_EQ(needles(all), 4U);
  EXPECT_EQ(all.references.size(), 4U);
  EXPECT_TRUE(all.prompt.question.starts_with("What are all the special magic numbers for "));
  EXPECT_NE(all.prompt.question.find(", and "), std::string::npos);
  EXPECT_TRUE(all.prompt.question.ends_with(" mentioned in the provided text are"));
}

TEST(Tasks, CommonWordsAreMoreCommon) {
  const TaskSample sample = sample_of("cwe", {.context = 800, .depth = 0, .seed = 6});
  EXPECT_EQ(sample.references.size(), 10U);
  const std::size_t list = sample.prompt.context.rfind("Below is a numbered list");
  std::istringstream in(sample.prompt.context.substr(list));
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  for (const std::string& reference : sample.references) {
    EXPECT_EQ(std::ranges::count(words, reference), 6) << reference;
  }
}

// 60 of N fall on ranks as N k^-2 / zeta(2): rank 2 has N / 6.58, rank 3 N / 14.8, rank 4 N / 26.3.
TEST(Tasks, FrequentWordsFollowZeta) {
  const TaskSample sample = sample_of("fwe", {.context = 1000, .depth = 0, .seed = 6});
  ASSERT_EQ(sample.references.size(), 3U);
  std::istringstream in(sample.prompt.context);
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  const auto dots = static_cast<double>(std::ranges::count(words, "..."));
  for (std::size_t i = 0; i < 3; ++i) {
    const auto rank = static_cast<double>(i + 2);
    // Counts are rounded down.
    EXPECT_NEAR(static_cast<double>(std::ranges::count(words, sample.references[i])),
                dots / (rank * rank),
                1.0);
  }
}

TEST(Tasks, TheKeyMustBeTheFirstNumber) {
  const TaskInfo& passkey = *find_task("passkey");
  const std::vector<std::string> key{"12345"};
  EXPECT_EQ(passkey.score(" 12345.\n", key), 1.0);
  EXPECT_EQ(passkey.score(" 123456", key), 0.0);
  EXPECT_EQ(passkey.score(" 1 12345", key), 0.0);
}

TEST(Tasks, PartOfTheNeedlesIsPartOfTheScore) {
  const std::vector<std::string> values{"1111111", "2222222", "3333333", "Abc"};
  EXPECT_EQ(find_task("niah_multivalue")->score("1111111, 3333333", values), 0.5);
  EXPECT_EQ(find_task("niah_multivalue")->score("aBC", values), 0.25);
}

TEST(Tasks, CopyCountsWordsUpToTheFirstWrongOne) {
  const std::vector<std::string> passage{"one two three four"};
  EXPECT_EQ(find_task("copy")->score(" one two x four", passage), 0.5);
  EXPECT_EQ(find_task("copy")->score("two three four", passage), 0.0);
  EXPECT_EQ(find_task("copy")->score("one two three four five", passage), 1.0);
}

}  // namespace
}  // namespace kvg::datasets
