// RULER's vt: a chain of assignments among filler lines, its words for instruction and question,
// its score. The worked example in front is shorter than RULER's, so that short contexts hold it.

#include <algorithm>
#include <vector>

#include "datasets/tasks/draw.h"
#include "datasets/tasks/tasks.h"

namespace kvg::datasets {
namespace {

constexpr std::size_t kHops = 4;
constexpr std::size_t kExampleLines = 5;

struct Chain {
  std::string value;
  std::vector<std::string> names;
};

Chain draw_chain(Draw& draw, std::size_t letters) {
  Chain chain{.value = draw.digits(5), .names = {}};
  while (chain.names.size() < kHops + 1) {
    std::string name;
    while (name.size() < letters) {
      name += static_cast<char>('A' + draw.below(26));
    }
    if (std::ranges::find(chain.names, name) == chain.names.end()) {
      chain.names.push_back(name);
    }
  }
  return chain;
}

std::string assignment(const Chain& chain, std::size_t index) {
  const std::string what = index == 0 ? chain.value : "VAR " + chain.names[index - 1];
  return "VAR " + chain.names[index] + " = " + what;
}

// `places` are shares of the filler, ascending, one an assignment.
std::string lines_of(const Chain& chain, const std::vector<double>& places, std::size_t lines) {
  std::string text;
  std::size_t next = 0;
  for (std::size_t i = 0; i <= lines; ++i) {
    while (next < places.size() &&
           static_cast<std::size_t>(places[next] * static_cast<double>(lines)) <= i) {
      text += assignment(chain, next++) + "\n";
    }
    if (i < lines) {
      text += std::string(kFiller) + "\n";
    }
  }
  return text;
}

Prompt prompt_of(const Chain& chain, const std::vector<double>& places, std::size_t lines) {
  const std::string count = std::to_string(chain.names.size());
  return {.context =
              "Memorize and track the chain(s) of variable assignment hidden in the "
              "following text.\n\n" +
              lines_of(chain, places, lines),
          .question = "Question: Find all variables that are assigned the value " + chain.value +
                      " in the text above. Answer: According to the chain(s) of variable "
                      "assignment in the text above, " +
                      count + " variables are assigned the value " + chain.value + ", they are:"};
}

std::vector<double> draw_places(Draw& draw) {
  std::vector<double> places;
  for (std::size_t i = 0; i <= kHops; ++i) {
    places.push_back(static_cast<double>(draw.below(1000)) / 1000.0);
  }
  std::ranges::sort(places);
  return places;
}

TaskDraft draft(const TaskRequest& request) {
  Draw draw(request.seed);
  const Chain shown = draw_chain(draw, 3);
  const Prompt example = prompt_of(shown, draw_places(draw), kExampleLines);
  std::string head = example.context + example.question;
  for (const std::string& name : shown.names) {
    head += " " + name;
  }
  const Chain chain = draw_chain(draw, 5);
  TaskDraft result;
  result.references = chain.names;
  result.build = [chain, places = draw_places(draw), head](std::size_t lines) {
    Prompt prompt = prompt_of(chain, places, lines);
    prompt.context = head + "\n\n" + prompt.context;
    return prompt;
  };
  return result;
}

}  // namespace

constinit const TaskInfo kVariableTracking{.name = "vt",
                                           .summary = "a chain of variables, RULER-style",
                                           .answer_tokens = 30,
                                           .has_depth = false,
                                           .draft = draft,
                                           .score = score_all};

}  // namespace kvg::datasets
