// RULER's cwe and fwe: which words of a list are common, its words for instruction and question,
// its counts and its score, over words of our own.

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "datasets/tasks/draw.h"
#include "datasets/tasks/tasks.h"

namespace kvg::datasets {
namespace {

constexpr std::size_t kCommon = 10;
constexpr std::size_t kExampleWords = 10;
// Shorter lists repeat their words less.
constexpr std::size_t kLongContext = 4096;
constexpr double kZeta = std::numbers::pi * std::numbers::pi / 6.0;  // zeta(2)
constexpr std::size_t kAskedRanks = 3;

struct Repeats {
  std::size_t common = 0;
  std::size_t other = 0;
};

// Nouns first, then pairs of them written as one word.
std::string word(std::size_t index) {
  const std::size_t count = nouns().size();
  if (index < count) {
    return std::string(nouns()[index]);
  }
  return std::string(nouns()[index / count % count]) + std::string(nouns()[index % count]);
}

// The first kCommon words are the common ones.
std::string numbered_list(const std::vector<std::string>& words,
                          const Repeats& repeats,
                          Draw draw) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < words.size(); ++i) {
    all.insert(all.end(), i < kCommon ? repeats.common : repeats.other, words[i]);
  }
  draw.shuffle(all);
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    text += (i == 0 ? "" : " ") + std::to_string(i + 1) + ". " + all[i];
  }
  return text;
}

Prompt common_words_prompt(const std::string& list) {
  return {.context =
              "Below is a numbered list of words. In these words, some appear more often "
              "than others. Memorize the ones that appear most often.\n" +
              list,
          .question =
              "\nQuestion: What are the 10 most common words in the above list? Answer: The "
              "top 10 words that appear most often in the list are:"};
}

TaskDraft draft_common_words(const TaskRequest& request) {
  Draw draw(request.seed);
  std::vector<std::string> shown;
  std::vector<std::string> common;
  for (const std::size_t index : draw.some_of(nouns().size(), 2 * kCommon + kExampleWords)) {
    (shown.size() < kCommon + kExampleWords ? shown : common).push_back(word(index));
  }
  const bool is_long = request.context >= kLongContext;
  const Prompt example = common_words_prompt(
      numbered_list(shown, is_long ? Repeats{10, 3} : Repeats{3, 1}, Draw(draw.below(1U << 30U))));
  std::string head = example.context + example.question;
  for (std::size_t i = 0; i < kCommon; ++i) {
    head += " " + std::to_string(i + 1) + ". " + shown[i];
  }
  TaskDraft result;
  result.references = common;
  const Repeats repeats = is_long ? Repeats{30, 3} : Repeats{6, 1};
  result.build = [common, head, repeats, order = draw](std::size_t others) {
    std::vector<std::string> words = common;
    for (std::size_t i = 0; words.size() < kCommon + others; ++i) {
      const std::string candidate = word(i);
      if (std::ranges::find(common, candidate) == common.end()) {
        words.push_back(candidate);
      }
    }
    Prompt prompt = common_words_prompt(numbered_list(words, repeats, order));
    prompt.context = head + "\n\n" + prompt.context;
    return prompt;
  };
  return result;
}

std::vector<std::string> coded_words(Draw& draw, std::size_t count) {
  std::vector<std::string> words;
  while (words.size() < count) {
    std::string coded;
    while (coded.size() < 6) {
      coded += static_cast<char>('a' + draw.below(26));
    }
    if (std::ranges::find(words, coded) == words.end()) {
      words.push_back(coded);
    }
  }
  return words;
}

// `total` words of which rank k has the share k^-2 / zeta(2).
std::string coded_text(const std::vector<std::string>& words, std::size_t total, Draw draw) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto rank = static_cast<double>(i + 1);
    const double count = static_cast<double>(total) / (rank * rank * kZeta);
    all.insert(all.end(), static_cast<std::size_t>(count), words[i]);
  }
  draw.shuffle(all);
  std::string text;
  for (const std::string& coded : all) {
    text += (text.empty() ? "" : " ") + coded;
  }
  return text;
}

TaskDraft draft_frequent_words(const TaskRequest& request) {
  Draw draw(request.seed);
  // RULER's vocabulary: a word for 50 tokens.
  std::vector<std::string> words =
      coded_words(draw, std::max(request.context / 50, kAskedRanks + 2));
  words.front() = "...";
  TaskDraft result;
  // So many that each of the asked ranks has more than the next.
  result.least = 60;
  result.references = {words.begin() + 1, words.begin() + 1 + kAskedRanks};
  result.build = [words, order = draw](std::size_t total) {
    return Prompt{.context =
                      "Read the following coded text and track the frequency of each coded "
                      "word. Find the three most frequently appeared coded words. " +
                      coded_text(words, total, order),
                  .question =
                      "\nQuestion: Do not provide any explanation. Please ignore the dots "
                      "'....'. What are the three most frequently appeared words in the "
                      "above coded text? Answer: According to the coded text above, the "
                      "three most frequently appeared words are:"};
  };
  return result;
}

}  // namespace

constinit const TaskInfo kCommonWords{.name = "cwe",
                                      .summary = "the common words of a list, RULER-style",
                                      .answer_tokens = 120,
                                      .has_depth = false,
                                      .draft = draft_common_words,
                                      .score = score_all};

constinit const TaskInfo kFrequentWords{
    .name = "fwe",
    .summary = "the frequent words of a coded text, RULER-style",
    .answer_tokens = 50,
    .has_depth = false,
    .draft = draft_frequent_words,
    .score = score_all};

}  // namespace kvg::datasets
