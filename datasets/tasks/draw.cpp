#include "datasets/tasks/draw.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "datasets/metrics/words.h"
#include "datasets/text.h"

namespace kvg::datasets {
namespace {

constexpr std::array<std::string_view, 213> kNouns{
    "anchor",  "apple",    "arrow",   "autumn",   "badge",      "bakery",  "balcony", "banner",
    "barrel",  "basket",   "beacon",  "bench",    "berry",      "blanket", "blossom", "boat",
    "bottle",  "bridge",   "bucket",  "butter",   "button",     "cabin",   "camera",  "candle",
    "canyon",  "carpet",   "castle",  "cave",     "chain",      "chapel",  "cherry",  "chimney",
    "circle",  "cliff",    "clock",   "cloud",    "coach",      "coast",   "coffee",  "column",
    "comet",   "compass",  "copper",  "coral",    "corner",     "cotton",  "cradle",  "crane",
    "crystal", "curtain",  "daisy",   "dawn",     "desert",     "diamond", "dragon",  "drawer",
    "drum",    "eagle",    "echo",    "ember",    "engine",     "falcon",  "farm",    "feather",
    "fence",   "ferry",    "fiddle",  "field",    "finger",     "flag",    "flame",   "flute",
    "forest",  "fountain", "frost",   "garden",   "gate",       "giant",   "glacier", "glove",
    "goblet",  "grain",    "grape",   "gravel",   "guitar",     "hammer",  "harbor",  "harvest",
    "hedge",   "helmet",   "hill",    "honey",    "horizon",    "hunter",  "island",  "ivory",
    "jacket",  "jungle",   "kettle",  "kingdom",  "kitchen",    "ladder",  "lagoon",  "lake",
    "lantern", "laurel",   "lemon",   "letter",   "lighthouse", "lily",    "linen",   "lion",
    "magnet",  "maple",    "marble",  "market",   "meadow",     "medal",   "melody",  "mill",
    "mirror",  "monkey",   "morning", "mountain", "museum",     "needle",  "nest",    "night",
    "oak",     "ocean",    "olive",   "orange",   "orchard",    "oven",    "paddle",  "palace",
    "paper",   "parrot",   "path",    "pearl",    "pebble",     "pepper",  "piano",   "pillow",
    "pilot",   "pine",     "planet",  "plate",    "pocket",     "pond",    "poplar",  "pottery",
    "prairie", "quarry",   "quilt",   "rabbit",   "raven",      "ribbon",  "river",   "road",
    "robin",   "rocket",   "rope",    "saddle",   "sail",       "salmon",  "scarf",   "school",
    "shadow",  "shell",    "shield",  "silver",   "snow",       "spade",   "sparrow", "spring",
    "stable",  "star",     "station", "stone",    "storm",      "stream",  "summer",  "sunset",
    "swallow", "table",    "teapot",  "temple",   "thunder",    "tiger",   "timber",  "tower",
    "trail",   "train",    "trumpet", "tunnel",   "turtle",     "valley",  "velvet",  "village",
    "violin",  "wagon",    "walnut",  "water",    "whale",      "wheat",   "wheel",   "willow",
    "window",  "winter",   "wolf",    "wool",     "yard",
};

bool is_space(char letter) {
  return letter == ' ' || letter == '\n';
}

// Ends after a full stop, a question or an exclamation mark, closing quotes included.
std::vector<std::string> split_sentences(std::string_view text) {
  std::vector<std::string> sentences;
  std::string sentence;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_space(text[i])) {
      sentence += text[i];
      continue;
    }
    const std::size_t last = sentence.find_last_not_of("\"')_");
    const bool ends = last != std::string::npos &&
                      std::string_view(".!?").find(sentence[last]) != std::string_view::npos;
    if (ends) {
      sentences.push_back(std::move(sentence));
      sentence.clear();
    } else if (!sentence.empty() && sentence.back() != ' ') {
      sentence += ' ';
    }
  }
  return sentences;
}

}  // namespace

std::string Draw::digits(int count) {
  std::string number(1, static_cast<char>('1' + below(9)));
  while (number.size() < static_cast<std::size_t>(count)) {
    number += static_cast<char>('0' + below(10));
  }
  return number;
}

std::vector<std::size_t> Draw::some_of(std::size_t total, std::size_t count) {
  std::vector<std::size_t> all(total);
  std::iota(all.begin(), all.end(), std::size_t{0});
  shuffle(all);
  all.resize(std::min(count, total));
  return all;
}

std::span<const std::string_view> nouns() {
  return kNouns;
}

const std::string& essay_sentence(std::size_t index) {
  static const std::vector<std::string> kSentences =
      split_sentences(load_text(shipped_texts().front()).content);
  return kSentences[index % kSentences.size()];
}

void add_sentence(std::string_view sentence, std::string& text) {
  if (!text.empty() && text.back() != '\n') {
    text += ' ';
  }
  text += sentence;
}

void end_line(std::string& text) {
  if (!text.empty() && text.back() != '\n') {
    text += '\n';
  }
}

void add_line(std::string_view sentence, std::string& text) {
  end_line(text);
  text += sentence;
  text += '\n';
}

double score_all(std::string_view answer, std::span<const std::string> references) {
  const std::string said = lower_case(answer);
  const auto held = std::ranges::count_if(references, [&said](const std::string& reference) {
    return said.find(lower_case(reference)) != std::string::npos;
  });
  return static_cast<double>(held) / static_cast<double>(references.size());
}

}  // namespace kvg::datasets
