// The full cache: every entry stays, at its text position.

#include <numeric>

#include "kvcompress/selections/selections.h"

namespace kvg::kvcompress {
namespace {

class Baseline final : public Selection {
 public:
  [[nodiscard]] std::int64_t budget() const override { return 0; }
  [[nodiscard]] kernels::SlotRule slot_rule() const override { return {}; }
  [[nodiscard]] std::vector<std::int32_t> keep_of_prompt(std::int32_t tokens) const override {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(tokens));
    std::iota(positions.begin(), positions.end(), 0);
    return positions;
  }
};

}  // namespace

constinit const SelectionInfo kBaseline{
    .name = "baseline",
    .summary = "every entry stays",
    .paper = "",
    .params = {},
    .make = [](const Params& /*params*/) -> std::unique_ptr<const Selection> {
      return std::make_unique<Baseline>();
    },
};

}  // namespace kvg::kvcompress
