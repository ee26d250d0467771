// The full cache: every entry stays, at its text position.

#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

class Baseline final : public Selection {
 public:
  [[nodiscard]] HeadPlan plan(const LayerShape& layer, int /*kv_head*/) const override {
    return {.kept = layer.prompt};
  }
  [[nodiscard]] std::optional<kernels::Visibility> visible() const override {
    return kernels::Visibility{};
  }
};

}  // namespace

constinit const SelectionInfo kBaseline{
    .name = "baseline",
    .summary = "every entry stays",
    .paper = "",
    .example = "baseline",
    .with_steps = true,
    .params = {},
    .make = [](Params& /*params*/, Feed /*feed*/) -> std::unique_ptr<const Selection> {
      return std::make_unique<Baseline>();
    },
};

}  // namespace kvg::kvcompress
