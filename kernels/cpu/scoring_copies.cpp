#include <cstring>

#include "kernels/cpu/scoring.h"

namespace kvg::kernels::cpu {

void CpuScoring::copy(const PromptScores& to, const double* from) {
  const auto rows = static_cast<std::size_t>(to.batch) * static_cast<std::size_t>(to.shape.kv_heads);
  std::memcpy(to.out, from, rows * static_cast<std::size_t>(to.keys) * sizeof(double));
}

void CpuScoring::keep_logits(const KeepLogitsArgs& args) {
  const int heads = args.batch * args.kv_heads;
  team_.run(args.window * heads, [&](int unit, int) {
    const std::ptrdiff_t head = unit % heads;
    const float* in = args.in + static_cast<std::ptrdiff_t>(unit) * args.keys;
    float* out = args.out + unit * args.capacity;
    for (std::int32_t i = 0; i < args.heads[head].entries; ++i) {
      out[i] = in[args.kept == nullptr ? i : args.kept[head * args.kept_stride + i]];
    }
  });
}

}  // namespace kvg::kernels::cpu
