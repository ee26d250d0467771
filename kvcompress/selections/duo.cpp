// DuoAttention (Xiao et al., arXiv:2410.10819): retrieval heads keep everything, streaming heads
// sinks and a window, each physically as short as it is. Which head is which comes from a file: a
// line a layer, a 0 (streaming) or 1 (retrieval) a kv_head. Frees memory in steps too. What
// differs: the matrix is given, not trained, and the prefill is not cut, so that a prompt's peak
// falls by the layers already cut alone.

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "kernels/core/error.h"
#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::size_t kMaxRows = 1024;

constexpr std::array kParams{
    ParamInfo{.name = "matrix",
              .type = ParamInfo::Type::kText,
              .help = "file with a line a layer, a 0 or 1 a kv_head; 1: keeps everything"},
    ParamInfo{.name = "sinks",
              .default_value = "64",
              .min = 0,
              .max = kMaxBudget,
              .help = "first entries that streaming heads keep"},
    ParamInfo{.name = "recent",
              .default_value = "256",
              .min = 1,
              .max = kMaxBudget,
              .help = "newest entries that streaming heads keep"}};

using HeadMatrix = std::vector<std::vector<bool>>;  ///< [layers][kv_heads]: keeps everything

// A file that never ends is not read to its end.
std::string read_text(const std::string& path) {
  constexpr std::streamsize kMaxBytes = 4 << 20;
  std::string text(kMaxBytes + 1, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), kMaxBytes + 1);
  if (file.bad() || (!file.eof() && file.gcount() == 0)) {
    throw DataError("policy duo: matrix=" + path + " cannot be read");
  }
  if (file.gcount() > kMaxBytes) {
    throw DataError("policy duo: matrix=" + path + " has more than " + std::to_string(kMaxBytes) +
                    " bytes");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::vector<bool> read_row(const std::string& path, const std::string& line, std::size_t number) {
  std::vector<bool> row;
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    if (word != "0" && word != "1") {
      throw DataError("policy duo: matrix=" + path + ", line " + std::to_string(number) + ": \"" +
                      word.substr(0, 20) + "\" is neither 0 nor 1");
    }
    row.push_back(word == "1");
  }
  return row;
}

HeadMatrix read_matrix(const std::string& path) {
  std::istringstream text(read_text(path));
  HeadMatrix matrix;
  std::size_t number = 0;
  for (std::string line; std::getline(text, line);) {
    std::vector<bool> row = read_row(path, line, ++number);
    if (row.size() > kMaxRows || matrix.size() == kMaxRows) {
      throw DataError("policy duo: matrix=" + path + " has more than " + std::to_string(kMaxRows) +
                      " layers or kv_heads");
    }
    if (!row.empty()) {
      matrix.push_back(std::move(row));
    }
  }
  return matrix;
}

class Duo final : public Selection {
 public:
  explicit Duo(const Params& params)
      : path_(params.text("matrix")),
        matrix_(read_matrix(path_)),
        sinks_(static_cast<std::int32_t>(params.integer("sinks"))),
        budget_(sinks_ + static_cast<std::int32_t>(params.integer("recent"))) {}

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int kv_head) const override {
    const auto row = static_cast<std::size_t>(layer.layer);
    if (matrix_.at(row).at(static_cast<std::size_t>(kv_head))) {
      return {.kept = layer.prompt};
    }
    return {.kept = std::min(layer.prompt, budget_), .budget = budget_, .sinks = sinks_};
  }
  [[nodiscard]] bool evicts(const LayerShape& /*layer*/) const override { return true; }
  void check(int layers, int kv_heads) const override {
    const auto fits = [&](const std::vector<bool>& row) {
      return row.size() == static_cast<std::size_t>(kv_heads);
    };
    if (matrix_.size() != static_cast<std::size_t>(layers) || !std::ranges::all_of(matrix_, fits)) {
      throw InvalidArgument("matrix=" + path_ + " must have " + std::to_string(layers) +
                            " lines of " + std::to_string(kv_heads) + " for this model");
    }
  }
  [[nodiscard]] std::string requested() const override { return std::to_string(budget_); }

  void score(const PromptContext& context) const override {
    context.scoring.recency(context.scores);
    context.scoring.protect(context.scores, std::min(sinks_, context.scores.keys), 0);
  }

 private:
  std::string path_;
  HeadMatrix matrix_;
  std::int32_t sinks_;
  std::int32_t budget_;
};

}  // namespace

constinit const SelectionInfo kDuo{
    .name = "duo",
    .summary = "retrieval heads keep everything, the others sinks and a window",
    .paper = "arXiv:2410.10819",
    .example = "duo",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed /*feed*/) -> std::unique_ptr<const Selection> {
      return std::make_unique<Duo>(params);
    },
};

}  // namespace kvg::kvcompress
