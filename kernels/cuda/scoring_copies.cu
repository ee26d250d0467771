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

struct CopyRowsArgs {
  std::uint16_t* out;
  const std::uint16_t* in;
  std::int64_t count;  // half words of a batch row
  std::int64_t out_stride;
  std::int64_t in_stride;
};

__global__ void __launch_bounds__(kThreads) copy_rows_kernel(CopyRowsArgs args) {
  allow_next();
  wait_for_inputs();
  const std::int64_t batch = blockIdx.y;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < args.count) {
    args.out[batch * args.out_stride + i] = args.in[batch * args.in_stride + i];
  }
}

}  // namespace

void CudaScoring::clear(void* data, std::size_t bytes) {
  if (bytes != 0) {
    KVG_CUDA_CHECK(cudaMemsetAsync(data, 0, bytes, target_.stream));
  }
}

void CudaScoring::keep_queries(const KeepQueriesArgs& args) {
  const QueryChunk& chunk = args.chunk;
  const int window_begin = args.keys - args.window;
  const int first = window_begin > chunk.past ? window_begin - chunk.past : 0;
  if (first >= chunk.tokens || chunk.batch == 0) {
    return;
  }
  const std::int64_t token = static_cast<std::int64_t>(chunk.shape.heads) * chunk.shape.head_dim *
                             static_cast<std::int64_t>(size_of(compute_) / 2);
  const std::int64_t to =
      std::int64_t{chunk.first_row} * args.window + chunk.past + first - window_begin;
  const CopyRowsArgs copy = {.out = static_cast<std::uint16_t*>(args.out) + to * token,
                             .in = static_cast<const std::uint16_t*>(chunk.query) + first * token,
                             .count = (chunk.tokens - first) * token,
                             .out_stride = args.window * token,
                             .in_stride = chunk.tokens * token};
  launch(target_,
         copy_rows_kernel,
         {.blocks = dim3(ceil_div(static_cast<std::size_t>(copy.count), kThreads),
                         static_cast<unsigned>(chunk.batch)),
          .threads = kThreads},
         copy);
}

void CudaScoring::keep_logits(const KeepLogitsArgs& args) {
  launch(target_,
         keep_logits_kernel,
         {.blocks = dim3(static_cast<unsigned>(args.window),
                         static_cast<unsigned>(args.batch * args.kv_heads)),
          .threads = kThreads},
         args);
}

}  // namespace kvg::kernels
