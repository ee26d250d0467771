#include "kernels/cuda/scoring.cuh"

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;

// Block: window row x (batch row, kv_head).
__global__ void __launch_bounds__(kThreads) keep_logits_kernel(KeepLogitsArgs args) {
  allow_next();
  wait_for_inputs();
  const std::int64_t head = blockIdx.y;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * gridDim.y + head;
  const float* in = args.in + row * args.keys;
  float* out = args.out + row * args.capacity;
  for (int i = threadIdx.x; i < args.heads[head].entries; i += kThreads) {
    out[i] = in[args.kept == nullptr ? i : args.kept[head * args.kept_stride + i]];
  }
}

}  // namespace

void CudaScoring::keep_logits(const KeepLogitsArgs& args) {
  launch(target_,
         keep_logits_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.window),
                         static_cast<unsigned>(args.batch * args.kv_heads)),
          .threads = kThreads},
         args);
}

}  // namespace kvg::kernels
