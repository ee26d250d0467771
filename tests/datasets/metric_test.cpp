// Metrics against values worked out by hand.

#include "datasets/metric.h"

#include <gtest/gtest.h>
#include <set>

#include "datasets/choice.h"

namespace kvg::datasets {
namespace {

double score(std::string_view metric, std::string_view answer, const AnswerKey& key) {
  return find_metric(metric)->score(answer, key);
}

TEST(QuestionF1, CountsWordsWithoutCasePunctuationAndArticles) {
  // "cat sat on mat" has all 3 words of "cat on mat": precision 3/4, recall 1.
  EXPECT_DOUBLE_EQ(score("qa_f1", "The cat sat, on a MAT!", {.references = {"cat on the mat"}}),
                   2.0 * 0.75 / 1.75);
  EXPECT_EQ(score("qa_f1", "An answer.", {.references = {"answer"}}), 1.0);
  EXPECT_EQ(score("qa_f1", "no", {.references = {"yes"}}), 0.0);
  EXPECT_EQ(score("qa_f1", "", {.references = {"yes"}}), 0.0);
}

TEST(QuestionF1, CountsAWordAsOftenAsBothHaveIt) {
  // One "very" of three is wanted: 1 of 3 and 1 of 1.
  EXPECT_DOUBLE_EQ(score("qa_f1", "very very very", {.references = {"very"}}), 0.5);
}

TEST(QuestionF1, TakesTheBestReference) {
  EXPECT_EQ(score("qa_f1", "Paris", {.references = {"the city of Paris", "paris"}}), 1.0);
}

TEST(QuestionF1, KnowsTheCaseOfEveryScript) {
  EXPECT_EQ(score("qa_f1", "\u00c9LAN", {.references = {"\u00e9lan"}}), 1.0);
}

TEST(RougeL, IsTheF1OfDifferentWordsInTheLongestCommonSubsequence) {
  // "the cat the mat" are 3 different words, of 4 and 5.
  EXPECT_DOUBLE_EQ(
      score("rouge_l", "the cat hit the mat", {.references = {"the cat sat on the mat"}}),
      2.0 * 3.0 / 9.0);
  // Order counts: only one of the two words can be kept.
  EXPECT_DOUBLE_EQ(score("rouge_l", "b a", {.references = {"a b"}}), 0.5);
  EXPECT_EQ(score("rouge_l", "Cat", {.references = {"cat"}}), 0.0);
  EXPECT_EQ(score("rouge_l", "", {.references = {"cat"}}), 0.0);
  EXPECT_EQ(score("rouge_l", "..", {.references = {".."}}), 0.0);
}

TEST(RougeL, JoinsWhatItsSentencesHaveInCommon) {
  // In one sentence "a b" or "c d" is the longest; in two each finds its own.
  EXPECT_DOUBLE_EQ(score("rouge_l", "c d a b", {.references = {"a b c d"}}), 0.5);
  EXPECT_DOUBLE_EQ(score("rouge_l", "c d. a b", {.references = {"a b. c d"}}), 1.0);
  // Lin's example: w1 w2 w3 w5 of 5 words are found in two sentences of 8 different ones.
  EXPECT_DOUBLE_EQ(score("rouge_l", "1 2 6 7 8.1 3 8 9 5", {.references = {"1 2 3 4 5"}}),
                   2.0 * 4.0 / (8.0 + 5.0));
}

// By the Python package rouge 1.0.1 that LongBench's eval.py calls, which adds 1e-8 below.
TEST(RougeL, IsLongBenchs) {
  constexpr double kAdded = 1e-8;
  const auto expect = [](const char* answer, const char* reference, double f) {
    EXPECT_NEAR(score("rouge_l", answer, {.references = {reference}}), f, kAdded)
        << answer << " | " << reference;
  };
  expect("The council met in May. It cut the budget by a third, and the mayor resigned.",
         "The mayor resigned in May after the council cut the budget. It was cut by a third.",
         0.599999995);
  expect("Amanda baked cookies and will bring Jerry some tomorrow.",
         "Amanda baked  cookies\nand will bring some to Jerry tomorrow. ",
         0.799999995);
  expect("a b c d . e f", "e f . a c b d", 0.833333328);
  expect("x y x z y", "y x y z x", 0.666666662);
  expect("v1.2 is out. See www.a.org", "See www.a.org. v1.2 is not out.", 0.941176466);
}

TEST(Classification, SharesTheScoreAmongTheNamesThatItHolds) {
  const AnswerKey key{.references = {"city"}, .classes = {"city", "country", "state"}};
  EXPECT_EQ(score("classification", "Type: city", key), 1.0);
  EXPECT_EQ(score("classification", "a city or a country", key), 0.5);
  EXPECT_EQ(score("classification", "country", key), 0.0);
  EXPECT_EQ(score("classification", "none", key), 0.0);
}

TEST(Classification, APartOfTheRightNameIsNoOtherName) {
  const AnswerKey key{.references = {"other number"}, .classes = {"number", "other number"}};
  EXPECT_EQ(score("classification", "other number", key), 1.0);
  EXPECT_EQ(score("classification", "number", key), 0.0);
}

TEST(Retrieval, IsTheShareOfNumbersThatAreThePassage) {
  const AnswerKey key{.references = {"Paragraph 12"}};
  EXPECT_EQ(score("retrieval", "Paragraph 12", key), 1.0);
  EXPECT_DOUBLE_EQ(score("retrieval", "12 or 3 or 120", key), 1.0 / 3.0);
  EXPECT_EQ(score("retrieval", "the twelfth", key), 0.0);
  EXPECT_EQ(score("retrieval", "12", {.references = {"no number"}}), 0.0);
}

TEST(Count, IsTheShareOfNumbersThatAreRight) {
  EXPECT_EQ(score("count", "There are 7.", {.references = {"7"}}), 1.0);
  EXPECT_EQ(score("count", "7 of 8", {.references = {"7"}}), 0.5);
}

TEST(EditSimilarity, IsTheLevenshteinRatioOfTheFirstLineOfCode) {
  // "ittn" is common to both: 2 x 4 of 6 + 7 characters.
  EXPECT_DOUBLE_EQ(score("edit_similarity", "kitten", {.references = {"sitting"}}), 8.0 / 13.0);
  EXPECT_EQ(score("edit_similarity",
                  "\n\n# a comment\n```\nreturn x; // why\nreturn x;\nreturn y;",
                  {.references = {"return x;"}}),
            1.0);
  EXPECT_EQ(score("edit_similarity", "# all comment", {.references = {"return x;"}}), 0.0);
}

TEST(EditSimilarity, CountsCharactersNotBytes) {
  EXPECT_DOUBLE_EQ(score("edit_similarity", "\u00e9a", {.references = {"\u00e8a"}}), 0.5);
}

TEST(StringMatch, CountsAllOrAnyReference) {
  const AnswerKey key{.references = {"Alpha", "beta"}};
  EXPECT_EQ(score("string_match_all", "ALPHA, gamma", key), 0.5);
  EXPECT_EQ(score("string_match_part", "ALPHA, gamma", key), 1.0);
  EXPECT_EQ(score("string_match_all", "alpha beta", key), 1.0);
  EXPECT_EQ(score("string_match_part", "gamma", key), 0.0);
}

TEST(Metrics, AreNamedOnce) {
  std::set<std::string_view> names;
  for (const MetricInfo& metric : metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_FALSE(metric.summary.empty());
  }
  EXPECT_EQ(find_metric("bleu"), nullptr);
}

TEST(Choose, TellsTheSumFromTheMeanOfACharacter) {
  // -4 over 2 characters is -2 each, -6 over 4 is -1.5.
  const std::vector<std::string> choices{" ab", " abcd"};
  const Chosen chosen = choose(std::vector{-4.0, -6.0}, choices);
  EXPECT_EQ(chosen.by_sum, 0U);
  EXPECT_EQ(chosen.by_mean, 1U);
}

TEST(Choose, CountsCharactersNotBytes) {
  // 2 and 3 characters in 4 bytes each: -2 and -1.67 a character.
  const std::vector<std::string> choices{" \u00e9\u00e9", " \u00e9bc"};
  EXPECT_EQ(choose(std::vector{-4.0, -5.0}, choices).by_mean, 1U);
}

}  // namespace
}  // namespace kvg::datasets
