// Quest (Tang et al., arXiv:2406.10774): every entry stays, and a step reads only the pages whose
// keys could score highest against its query (a bound from the smallest and largest key of each
// page and channel), about `budget` entries in all; the newest page is always read. Frees no
// memory: it adds two keys a page. What differs: pages are chosen per kv_head (the bounds of its
// query heads added, or the largest).

#include <array>

#include "kernels/core/error.h"
#include "kvcompress/selections/budget.h"
#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    ParamInfo{.name = "budget", .min = 1, .max = kMaxBudget, .help = "entries read in a step"},
    ParamInfo{
        .name = "page", .default_value = "16", .min = 1, .max = 256, .help = "entries of a page"},
    ParamInfo{.name = "dense",
              .default_value = "2",
              .min = 0,
              .max = 1024,
              .help = "first layers that read everything"}};

class Quest final : public Selection {
 public:
  explicit Quest(const Params& params)
      : rule_{.page = static_cast<int>(params.integer("page")),
              .budget = params.integer("budget"),
              .dense_layers = static_cast<int>(params.integer("dense"))} {
    if (rule_.budget < rule_.page) {
      throw InvalidArgument("policy quest: budget=" + std::to_string(rule_.budget) +
                            " is below page=" + std::to_string(rule_.page) + "; allowed: from " +
                            std::to_string(rule_.page));
    }
  }

  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int /*kv_head*/) const override {
    return {.kept = layer.prompt};
  }
  [[nodiscard]] std::optional<PagingRule> paging() const override { return rule_; }
  [[nodiscard]] std::string requested() const override { return std::to_string(rule_.budget); }

 private:
  PagingRule rule_;
};

}  // namespace

constinit const SelectionInfo kQuest{
    .name = "quest",
    .summary = "everything is stored, the most promising pages are read",
    .paper = "arXiv:2406.10774",
    .example = "quest_256",
    .with_steps = true,
    .params = kParams,
    .make = [](Params& params, Feed /*feed*/) -> std::unique_ptr<const Selection> {
      return std::make_unique<Quest>(params);
    },
};

}  // namespace kvg::kvcompress
