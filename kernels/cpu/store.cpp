#include "kernels/cpu/store.h"

#include <cstring>

#include "kernels/core/error.h"

namespace kvg::kernels::cpu {

void append(const AppendArgs& /*args*/, const Resources& /*resources*/) {
  throw InvalidArgument("append has no kernel here");
}

void settle(const SettleArgs& /*args*/, const Resources& /*resources*/) {
  throw InvalidArgument("settle has no kernel here");
}

void store(const StoreArgs& args, const Resources& resources) {
  KVG_EXPECT(args.to.keys.form == Form{} && args.to.values.form == Form{}, "f32 alone so far");
  const auto dim = static_cast<std::int64_t>(args.shape.head_dim);
  resources.team.run(args.batch * args.shape.kv_heads, [&](int head, int) {
    const std::int64_t row = head / args.shape.kv_heads;
    const std::int64_t from = row * args.from.batch_stride +
                              head % args.shape.kv_heads * args.from.head_stride;
    const HeadCursor& cursor = args.to.heads[head];
    const std::int64_t to = (row * args.to.slots + cursor.start) * dim;
    const auto copy = [&](const void* source, void* target, std::int64_t i) {
      const std::int64_t slot = args.kept == nullptr ? i : args.kept[head * args.kept_stride + i];
      std::memcpy(static_cast<float*>(target) + to + i * dim,
                  static_cast<const float*>(source) + from + slot * dim,
                  static_cast<std::size_t>(dim) * sizeof(float));
    };
    for (std::int64_t i = 0; i < cursor.entries; ++i) {
      copy(args.from.keys, args.to.keys.codes, i);
      copy(args.from.values, args.to.values.codes, i);
    }
  });
}

}  // namespace kvg::kernels::cpu
