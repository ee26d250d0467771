#include "kernels/cuda/element.cuh"
#include "kernels/cuda/ops.cuh"

// Small kernels around a step: embedding rows, the cursors.

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

// The first thread writes the position; heads are shared out.
__global__ void __launch_bounds__(kThreads) advance_kernel(AdvanceArgs args) {
  allow_next();
  wait_for_inputs();
  for (int head = threadIdx.x; head < args.count; head += kThreads) {
    const HeadCursor moved = next_of(args.heads[head]);
    args.heads[head].entries = moved.entries;
    args.heads[head].slot = moved.slot;
    if (head == 0 && args.cache_positions) {
      args.cursor->sink_position = moved.entries - 1;
    }
  }
  if (threadIdx.x == 0) {
    const std::int32_t position = ++args.cursor->position;
    if (!args.cache_positions) {
      args.cursor->sink_position = position;
    }
  }
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

void advance_cursors(const Target& target, const AdvanceArgs& args) {
  launch(target, advance_kernel, {.blocks = dim3(1), .threads = kThreads}, args);
}

}  // namespace kvg::kernels
