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

TEST(RougeL, IsTheF1OfTheLongestCommonSubsequence) {
  // "the cat the mat" of 5 and 6 words.
  EXPECT_DOUBLE_EQ(
      score("rouge_l", "the cat hit the mat", {.references = {"the cat sat on the mat"}}),
      2.0 * 4.0 / 11.0);
  // Order counts: only one of the two words can be kept.
  EXPECT_DOUBLE_EQ(score("rouge_l", "b a", {.references = {"a b"}}), 0.5);
  EXPECT_EQ(score("rouge_l", "Cat", {.references = {"cat"}}), 0.0);
  EXPECT_EQ(score("rouge_l", "", {.references = {"cat"}}), 0.0);
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
