#include "kernels/cuda/element.cuh"
#include "kernels/cuda/ops.cuh"

// Small kernels around a step: embedding rows, kept entries, the cursor.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads) embed_kernel(EmbedArgs args) {
  allow_next();
  wait_for_inputs();
  const std::size_t row = blockIdx.x;
  const int i = blockIdx.y * kThreads + threadIdx.x;
  if (i < args.hidden) {
    const T* table = static_cast<const T*>(args.table);
    const std::size_t token = static_cast<std::size_t>(args.tokens[row]);
    args.out[row * args.hidden + i] = to_float(table[token * args.hidden + i]);
  }
}

// Block: kept entry x kv_head x batch row. Threads: the keys' words, then the values'.
template <typename Word>
__global__ void keep_kernel(KeepArgs args, int element_bytes) {
  allow_next();
  wait_for_inputs();
  const std::int64_t head = blockIdx.y;
  const std::int64_t batch = blockIdx.z;
  const int words = args.head_dim * element_bytes / static_cast<int>(sizeof(Word));
  const auto at = [&](const KvView& view, std::int32_t slot) {
    return (batch * view.batch_stride + head * view.head_stride +
            static_cast<std::int64_t>(slot) * args.head_dim) *
           element_bytes / static_cast<std::int64_t>(sizeof(Word));
  };
  const std::int64_t from = at(args.from, args.from_slots[blockIdx.x]);
  const std::int64_t to = at(args.to, args.to_slots[blockIdx.x]);
  for (int i = threadIdx.x; i < 2 * words; i += blockDim.x) {
    const bool is_key = i < words;
    const int word = is_key ? i : i - words;
    const auto* source = static_cast<const Word*>(is_key ? args.from.keys : args.from.values);
    auto* target = static_cast<Word*>(is_key ? args.to.keys : args.to.values);
    target[to + word] = source[from + word];
  }
}

__global__ void advance_kernel(StepCursor* cursor, SlotRule rule) {
  allow_next();
  wait_for_inputs();
  *cursor = cursor_at(cursor->position + 1, rule);
}

}  // namespace

void embed_tokens(const Target& target, const EmbedArgs& args) {
  dispatch_element(args.dtype, [&](auto element) {
    launch(target,
           embed_kernel<decltype(element)>,
           {.blocks = dim3(static_cast<unsigned>(args.rows), ceil_div(args.hidden, kThreads)),
            .threads = kThreads},
           args);
  });
}

void copy_entries(const Target& target, const KeepArgs& args) {
  const auto element_bytes = static_cast<int>(size_of(args.from.dtype));
  const Grid grid = {.blocks = dim3(static_cast<unsigned>(args.count),
                                    static_cast<unsigned>(args.kv_heads),
                                    static_cast<unsigned>(args.batch)),
                     .threads = 64};
  const auto fits = [&](const KvView& view) {
    return view.head_stride * element_bytes % 16 == 0 &&
           view.batch_stride * element_bytes % 16 == 0 && is_aligned(view.keys, 16) &&
           is_aligned(view.values, 16);
  };
  if (args.head_dim * element_bytes % 16 == 0 && fits(args.from) && fits(args.to)) {
    launch(target, keep_kernel<uint4>, grid, args, element_bytes);
  } else {
    launch(target, keep_kernel<std::uint16_t>, grid, args, element_bytes);
  }
}

void advance_cursor(const Target& target, StepCursor* cursor, const SlotRule& rule) {
  launch(target, advance_kernel, {.blocks = dim3(1), .threads = 1}, cursor, rule);
}

}  // namespace kvg::kernels
