// RULER's needles in a haystack (Hsieh et al. 2024, arXiv:2404.06654), its words for instruction,
// needle and question, its 40 depths and its score. The essays are another text and keys are
// single nouns, so the figures are RULER-style, not RULER's.

#include <algorithm>
#include <cmath>

#include "datasets/tasks/draw.h"
#include "datasets/tasks/tasks.h"

namespace kvg::datasets {
namespace {

constexpr int kDigits = 7;
constexpr std::size_t kDepths = 40;
// Sentences of the essay before those that a sample reads, drawn so that texts differ.
constexpr std::size_t kStarts = 2000;

struct Shape {
  std::size_t keys = 1;
  std::size_t values = 1;   ///< of each key
  std::size_t queries = 1;  ///< keys that are asked for
};

// A sentence to hide and how much of the essay comes before it.
struct Needle {
  std::string text;
  double depth = 0.0;
};

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) {
      list += i + 1 == names.size() ? ", and " : ", ";
    }
    list += names[i];
  }
  return list;
}

std::string instruction(bool one) {
  const std::string begin = one ? "A special magic number is" : "Some special magic numbers are";
  return begin +
         " hidden within the following text. Make sure to memorize it. I will quiz you about the " +
         (one ? "number" : "numbers") + " afterwards.\n";
}

std::string question(bool one, const std::string& query) {
  const std::string what =
      one ? " the special magic number for " : " the special magic numbers for ";
  return std::string("What ") + (one ? "is" : "are all") + what + query +
         " mentioned in the provided text? The" + what.substr(4) + query +
         " mentioned in the provided text " + (one ? "is" : "are");
}

// Sentences as they follow each other, a line a needle.
std::string haystack(const std::vector<Needle>& needles, std::size_t start, std::size_t sentences) {
  std::string text;
  std::size_t next = 0;
  for (std::size_t i = 0; i <= sentences; ++i) {
    for (; next < needles.size() &&
           static_cast<std::size_t>(needles[next].depth * static_cast<double>(sentences)) <= i;
         ++next) {
      add_line(needles[next].text, text);
    }
    if (i < sentences) {
      add_sentence(essay_sentence(start + i), text);
    }
  }
  end_line(text);
  return text;
}

// The first needle asked for lies at the depth of the request, the others at depths of RULER's.
std::vector<Needle> hide(Draw& draw, const std::vector<std::string>& texts, std::int32_t depth) {
  const std::vector<std::size_t> depths = draw.some_of(kDepths, texts.size());
  std::vector<Needle> needles;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double percent =
        i == 0 ? depth : std::round(100.0 * static_cast<double>(depths[i]) / (kDepths - 1));
    needles.push_back({texts[i], percent / 100.0});
  }
  std::ranges::stable_sort(needles, {}, &Needle::depth);
  return needles;
}

TaskDraft draft(const TaskRequest& request, const Shape& shape) {
  Draw draw(request.seed);
  std::vector<std::string> keys;
  for (const std::size_t noun : draw.some_of(nouns().size(), shape.keys)) {
    keys.emplace_back(nouns()[noun]);
  }
  std::vector<std::string> texts;
  TaskDraft result;
  for (std::size_t key = 0; key < keys.size(); ++key) {
    for (std::size_t i = 0; i < shape.values; ++i) {
      const std::string value = draw.digits(kDigits);
      texts.push_back("One of the special magic numbers for " + keys[key] + " is: " + value + ".");
      if (key < shape.queries) {
        result.references.push_back(value);
      }
    }
  }
  const std::size_t start = draw.below(kStarts);
  const bool one = shape.queries * shape.values == 1;
  keys.resize(shape.queries);
  result.build = [needles = hide(draw, texts, request.depth),
                  start,
                  head = instruction(one),
                  tail = question(one, listed(keys))](std::size_t sentences) {
    return Prompt{.context = head + haystack(needles, start, sentences), .question = tail};
  };
  return result;
}

template <std::size_t Keys, std::size_t Values, std::size_t Queries>
TaskDraft draft_of(const TaskRequest& request) {
  return draft(request, {.keys = Keys, .values = Values, .queries = Queries});
}

}  // namespace

constinit const TaskInfo kNiah{.name = "niah",
                               .summary = "a 7-digit needle in a novel, RULER-style",
                               .answer_tokens = 128,
                               .draft = draft_of<1, 1, 1>,
                               .score = score_all};

constinit const TaskInfo kNiahMultikey{.name = "niah_multikey",
                                       .summary = "one of four needles with keys of their own",
                                       .answer_tokens = 128,
                                       .draft = draft_of<4, 1, 1>,
                                       .score = score_all};

constinit const TaskInfo kNiahMultivalue{.name = "niah_multivalue",
                                         .summary = "all four needles of one key",
                                         .answer_tokens = 128,
                                         .draft = draft_of<1, 4, 1>,
                                         .score = score_all};

constinit const TaskInfo kNiahMultiquery{.name = "niah_multiquery",
                                         .summary = "four needles, all asked for",
                                         .answer_tokens = 128,
                                         .draft = draft_of<4, 1, 4>,
                                         .score = score_all};

}  // namespace kvg::datasets
