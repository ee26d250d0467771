// The key-value retrieval of Lost in the Middle (Liu et al. 2023, arXiv:2307.03172): a JSON object
// of random keys and values, one key asked for. Keys and values have 8 hexadecimal digits, UUIDs
// there.

#include "datasets/tasks/draw.h"
#include "datasets/tasks/tasks.h"

namespace kvg::datasets {
namespace {

std::string hex_word(Draw& draw) {
  std::string text;
  while (text.size() < 8) {
    text += "0123456789abcdef"[draw.below(16)];
  }
  return text;
}

std::string pair_of(Draw& draw) {
  const std::string key = hex_word(draw);
  return "\"" + key + "\": \"" + hex_word(draw) + "\"";
}

TaskDraft draft(const TaskRequest& request) {
  Draw draw(request.seed);
  const std::string key = hex_word(draw);
  const std::string value = hex_word(draw);
  TaskDraft result;
  result.references = {value};
  result.build =
      [key, value, draw, depth = static_cast<std::size_t>(request.depth)](std::size_t others) {
        Draw rest = draw;
        const std::size_t before = others * depth / 100;
        const std::string wanted = "\"" + key + "\": \"" + value + "\"";
        std::string pairs;
        for (std::size_t i = 0; i <= others; ++i) {
          pairs += (i == 0 ? "" : ",\n ") + (i == before ? wanted : pair_of(rest));
        }
        return Prompt{.context =
                          "Extract the value corresponding to the specified key in the JSON "
                          "object below.\n\nJSON data:\n{" +
                          pairs + "}\n",
                      .question = "\nKey: \"" + key + "\"\nCorresponding value:"};
      };
  return result;
}

}  // namespace

constinit const TaskInfo kKeyValueLookup{.name = "kv_lookup",
                                         .summary = "one value of a JSON object by its key",
                                         .answer_tokens = 32,
                                         .draft = draft,
                                         .score = score_all};

}  // namespace kvg::datasets
