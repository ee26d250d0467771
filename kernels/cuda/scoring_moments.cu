#include "kernels/cuda/element.cuh"
#include "kernels/cuda/scoring.cuh"

// Mean and products of queries as they were before RoPE. A block owns a square of a head's products
// and walks over the tokens, 32 at a time, which it turns back as it loads them; sums are f32 over
// these and double beyond. Each figure has one owner, so the order of additions is fixed.

namespace kvg::kernels {
namespace {

constexpr int kSide = 64;  // of a square
constexpr int kOwn = 4;    // of it, a side of a thread's part
constexpr int kThreads = (kSide / kOwn) * (kSide / kOwn);
constexpr int kTokens = 32;

struct MomentsShared {
  float rows[kTokens][kSide];
  float columns[kTokens][kSide];
};

// Channel `channel` of a query before RoPE.
template <typename T>
__device__ float turned_back(const MomentsArgs& args, const T* query, int position, int channel) {
  const int half = args.turn.rotary_dim / 2;
  if (channel >= 2 * half) {
    return to_float(query[channel]);
  }
  const int pair = channel % half;
  const float* entry = args.turn.table + 2 * (static_cast<std::int64_t>(position) * half + pair);
  const double cosine = entry[0];
  const double sine = entry[1];
  const double low = to_float(query[pair]);
  const double high = to_float(query[pair + half]);
  return static_cast<float>(channel < half ? low * cosine + high * sine
                                           : high * cosine - low * sine);
}

template <typename T>
__device__ void load_side(const MomentsArgs& args,
                          float (&out)[kTokens][kSide],
                          const T* queries,
                          int first_token,
                          int first_channel) {
  const HeadShape& shape = args.chunk.shape;
  for (int i = threadIdx.x; i < kTokens * kSide; i += kThreads) {
    const int token = first_token + i / kSide;
    const int channel = first_channel + i % kSide;
    const bool inside = token < args.chunk.tokens && channel < shape.head_dim;
    const std::int64_t pitch = static_cast<std::int64_t>(shape.heads) * shape.head_dim;
    out[i / kSide][i % kSide] =
        inside ? turned_back(args, queries + token * pitch, args.chunk.past + token, channel)
               : 0.0F;
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) moments_kernel(MomentsArgs args) {
  __shared__ MomentsShared shared;
  allow_next();
  wait_for_inputs();
  const QueryChunk& chunk = args.chunk;
  const int dim = chunk.shape.head_dim;
  const int squares = (dim + kSide - 1) / kSide;
  const int first_row = static_cast<int>(blockIdx.x) / squares * kSide;
  const int first_column = static_cast<int>(blockIdx.x) % squares * kSide;
  const int head = blockIdx.y;
  const int batch = blockIdx.z;
  const T* queries =
      static_cast<const T*>(chunk.query) +
      (static_cast<std::int64_t>(batch) * chunk.tokens * chunk.shape.heads + head) * dim;
  const int row = static_cast<int>(threadIdx.x) / (kSide / kOwn) * kOwn;
  const int column = static_cast<int>(threadIdx.x) % (kSide / kOwn) * kOwn;
  double products[kOwn][kOwn] = {};
  double sum = 0.0;
  for (int token = max(args.skip - chunk.past, 0); token < chunk.tokens; token += kTokens) {
    load_side(args, shared.rows, queries, token, first_row);
    load_side(args, shared.columns, queries, token, first_column);
    __syncthreads();
    float part[kOwn][kOwn] = {};
    for (int i = 0; i < kTokens; ++i) {
      const float4 a = *reinterpret_cast<const float4*>(&shared.rows[i][row]);
      const float4 b = *reinterpret_cast<const float4*>(&shared.columns[i][column]);
      const float as[kOwn] = {a.x, a.y, a.z, a.w};
      const float bs[kOwn] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int r = 0; r < kOwn; ++r) {
#pragma unroll
        for (int c = 0; c < kOwn; ++c) {
          part[r][c] = fmaf(as[r], bs[c], part[r][c]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kOwn; ++r) {
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        products[r][c] += static_cast<double>(part[r][c]);
      }
    }
    if (first_column == 0 && threadIdx.x < kSide) {
      for (int i = 0; i < kTokens; ++i) {
        sum += static_cast<double>(shared.rows[i][threadIdx.x]);
      }
    }
    __syncthreads();
  }
  const std::int64_t at =
      (static_cast<std::int64_t>(chunk.first_row) + batch) * chunk.shape.heads + head;
  double* out = args.products + at * dim * dim;
#pragma unroll
  for (int r = 0; r < kOwn; ++r) {
#pragma unroll
    for (int c = 0; c < kOwn; ++c) {
      const int i = first_row + row + r;
      const int j = first_column + column + c;
      if (i < dim && j < dim) {
        out[static_cast<std::int64_t>(i) * dim + j] += products[r][c];
      }
    }
  }
  const int channel = first_row + static_cast<int>(threadIdx.x);
  if (first_column == 0 && threadIdx.x < kSide && channel < dim) {
    args.sums[at * dim + channel] += sum;
  }
}

}  // namespace

void CudaScoring::moments(const MomentsArgs& args) {
  const QueryChunk& chunk = args.chunk;
  if (chunk.tokens == 0 || chunk.batch == 0) {
    return;
  }
  const unsigned squares = ceil_div(static_cast<std::size_t>(chunk.shape.head_dim), kSide);
  dispatch_element(compute_, [&](auto element) {
    launch(target_,
           moments_kernel<decltype(element)>,
           {.blocks = dim3(squares * squares,
                           static_cast<unsigned>(chunk.shape.heads),
                           static_cast<unsigned>(chunk.batch)),
            .threads = kThreads},
           args);
  });
}

}  // namespace kvg::kernels
