#include "kvcompress/selections/sink_window.h"

#include <algorithm>

namespace kvg::kvcompress {
namespace {

bool settled_positions(Params& params, bool binds) {
  if (!params.has("positions")) {
    params.complete("positions", binds ? "cache" : "original");
  }
  return params.text("positions") == "cache";
}

}  // namespace

SinkWindow::SinkWindow(std::string_view owner, Params& params, Feed feed, long sinks)
    : budget_(owner, params, feed, sinks, "sinks=" + std::to_string(sinks)),
      binds_(evicts_in_steps(owner, params, feed)),
      sinks_(static_cast<std::int32_t>(sinks)),
      cache_positions_(settled_positions(params, binds_)) {}

HeadPlan SinkWindow::plan(const LayerShape& layer, int /*kv_head*/) const {
  return {.kept = budget_.of_prompt(layer.prompt),
          .budget = binds_ ? budget_.of_steps(layer.prompt) : 0,
          .sinks = sinks_};
}

// During a step the newest entry comes on top of the budget.
std::optional<kernels::Visibility> SinkWindow::visible() const {
  const auto budget = static_cast<std::int32_t>(budget_.of_steps(0));
  return kernels::Visibility{.sinks = sinks_, .window = budget - sinks_ + 1};
}

void SinkWindow::score(const PromptContext& context) const {
  context.scoring.recency(context.scores);
  context.scoring.protect(context.scores, std::min(sinks_, context.count), 0);
}

}  // namespace kvg::kvcompress
