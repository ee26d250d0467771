#include "kernels/cpu/scoring.h"

namespace kvg::kernels::cpu {

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
