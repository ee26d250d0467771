#include "kernels/cuda/head_dim.cuh"
#include "kernels/cuda/scoring_rows.cuh"
#include "kernels/cuda/scoring_tiles.cuh"

// The second pass over a prompt's scores: a block holds 64 keys of a kv_head and walks over the
// queries of its group, so that a key's figure is added up in one place and one order. Sums are f32
// over a tile of queries and double beyond. Values and the rows of an output projection make the
// same products: a value is a key, and a row of W_o lies like a token's queries.

namespace kvg::kernels {
namespace {

template <typename T, int Dim>
struct ColumnsShared {
  static constexpr int kStride = ScoreTile<T, Dim>::kStride;
  static constexpr int kColumns = ScoreTile<T, Dim>::kColumns;
  alignas(16) T keys[kScoreTile * kStride];
  alignas(16) T queries[2][kColumns * kStride];
  alignas(16) float2 rows[2][kColumns];
};

// Where a block is: its keys, and the tile of queries and the head at hand.
struct Place {
  int batch;
  int kv_head;
  int key;  // of this lane's first row
  int first_head;
  int head;   // within the group
  int query;  // first of the tile
};

// Turns products into what is added up; what a query does not see becomes 0 (kLogits: -infinity).
template <int Tiles>
__device__ void shape_figures(const ColumnsArgs& args,
                              const Place& at,
                              const float2* rows,
                              float (&figures)[Tiles][4]) {
  const QueryRows& queries = args.queries;
  const float scale = queries.scale * kScoreLog2E;
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile) {
    const int column = tile * 8 + lane_column();
    const float4 two = *reinterpret_cast<const float4*>(rows + column);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = at.query + column + i % 2;
      const bool seen = at.key + i / 2 * 8 <= queries.past + query && query < queries.tokens;
      const float product = figures[tile][i];
      if (args.figure == Figure::kLogits) {
        figures[tile][i] = seen ? product * queries.scale : -INFINITY;
      } else if (args.figure == Figure::kNorms) {
        figures[tile][i] = seen ? fabsf(product) : 0.0F;
      } else {
        const float largest = i % 2 == 0 ? two.x : two.z;
        const float inverse = i % 2 == 0 ? two.y : two.w;
        figures[tile][i] = seen ? exp2f(product * scale - largest) * inverse : 0.0F;
      }
    }
  }
}

template <int Tiles>
__device__ void add_rows(const float (&figures)[Tiles][4], double (&sums)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = 0.0F;
#pragma unroll
    for (int tile = 0; tile < Tiles; ++tile) {
      sum += figures[tile][2 * half] + figures[tile][2 * half + 1];
    }
    sums[half] += static_cast<double>(sum);
  }
}

template <int Tiles>
__device__ void write_logits(const ColumnsArgs& args,
                             const Place& at,
                             const float (&logits)[Tiles][4]) {
  const QueryRows& queries = args.queries;
  const std::int64_t heads = static_cast<std::int64_t>(queries.batch) * queries.shape.kv_heads;
  const std::int64_t head =
      static_cast<std::int64_t>(at.batch) * queries.shape.kv_heads + at.kv_head;
#pragma unroll
  for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = at.query + tile * 8 + lane_column() + i % 2;
      const int key = at.key + i / 2 * 8;
      if (query < queries.tokens && key < args.present) {
        const int row = (queries.past + query) % args.window;
        args.out_rows[(row * heads + head) * args.keys + key] = logits[tile][i];
      }
    }
  }
}

// The rows of a window's queries that a shorter prompt does not have.
__device__ void write_missing_logits(const ColumnsArgs& args, const Place& at) {
  const HeadShape& shape = args.queries.shape;
  const std::int64_t heads = static_cast<std::int64_t>(args.queries.batch) * shape.kv_heads;
  const std::int64_t head = static_cast<std::int64_t>(at.batch) * shape.kv_heads + at.kv_head;
  for (int row = args.keys + lane_column() / 2; row < args.window; row += 4) {
    for (int key = at.key; key < args.present && key <= at.key + 8; key += 8) {
      args.out_rows[(row * heads + head) * args.keys + key] = -INFINITY;
    }
  }
}

__device__ void write_sums(const ColumnsArgs& args, const Place& at, const double (&sums)[2]) {
  const HeadShape& shape = args.queries.shape;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const double sum = sum_of_row(sums[half]) * args.share;
    const int key = at.key + half * 8;
    if (key >= args.present || lane_column() != 0) {
      continue;
    }
    if (args.figure == Figure::kMean) {
      const std::int64_t row =
          static_cast<std::int64_t>(at.batch) * shape.heads + at.first_head + at.head;
      args.out_rows[row * args.keys + key] = static_cast<float>(sum);
      continue;
    }
    const std::int64_t row = static_cast<std::int64_t>(at.batch) * shape.kv_heads + at.kv_head;
    double* out = args.out + row * args.keys + key;
    if (args.figure == Figure::kNorms) {
      *out = *out == INFINITY ? *out : (*out + args.epsilon) * sum;
    } else {
      *out += sum;
    }
  }
}

// Adds up a block's figures from tile to tile.
template <int Tiles>
class Totals {
 public:
  __device__ explicit Totals(Figure figure)
      : joins_(figure == Figure::kMax || figure == Figure::kLogits),
        least_(figure == Figure::kLogits ? -INFINITY : 0.0F) {
    reset();
  }

  __device__ void take(const ColumnsArgs& args,
                       const Place& at,
                       const float (&figures)[Tiles][4],
                       bool last_head) {
    if (!joins_) {
      add_rows(figures, sums_);
      return;
    }
#pragma unroll
    for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        largest_[tile][i] = fmaxf(largest_[tile][i], figures[tile][i]);
      }
    }
    if (last_head) {
      if (args.figure == Figure::kLogits) {
        write_logits(args, at, largest_);
      } else {
        add_rows(largest_, sums_);
      }
      reset();
    }
  }

  __device__ void write(const ColumnsArgs& args, const Place& at) {
    write_sums(args, at, sums_);
    sums_[0] = 0.0;
    sums_[1] = 0.0;
  }

 private:
  __device__ void reset() {
#pragma unroll
    for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        largest_[tile][i] = least_;
      }
    }
  }

  bool joins_;  // the heads of a group are compared before they are added up
  float least_;
  float largest_[Tiles][4];
  double sums_[2] = {};
};

template <typename T, int Dim>
__global__ void __launch_bounds__(kScoreThreads) columns_kernel(ColumnsArgs args) {
  constexpr int kColumns = ScoreTile<T, Dim>::kColumns;
  constexpr int kStride = ScoreTile<T, Dim>::kStride;
  extern __shared__ __align__(16) unsigned char raw[];
  auto& shared = *reinterpret_cast<ColumnsShared<T, Dim>*>(raw);
  allow_next();
  wait_for_inputs();
  const QueryRows& queries = args.queries;
  const HeadShape& shape = queries.shape;
  const int group = shape.heads / shape.kv_heads;
  const int first = static_cast<int>(blockIdx.x) * kScoreTile;
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * 16;
  Place at = {.batch = static_cast<int>(blockIdx.z),
              .kv_head = static_cast<int>(blockIdx.y),
              .key = first + warp_row + lane_row(),
              .first_head = static_cast<int>(blockIdx.y) * group,
              .head = 0,
              .query = 0};
  copy_rows<T, Dim, kStride, kScoreThreads>(
      shared.keys,
      static_cast<const T*>(queries.kv.keys) + at.batch * queries.kv.batch_stride +
          at.kv_head * queries.kv.head_stride + static_cast<std::int64_t>(first) * Dim,
      make_int2(kScoreTile, args.present - first),
      Dim);
  const std::int64_t pitch = static_cast<std::int64_t>(shape.heads) * Dim;
  const T* query =
      static_cast<const T*>(queries.query) + at.batch * queries.batch_stride + at.first_head * Dim;
  const float2* rows =
      args.rows +
      (static_cast<std::int64_t>(at.batch) * shape.heads + at.first_head) * queries.tokens;
  // Earlier queries do not see these keys.
  const int begin = max(first - queries.past, 0) / kColumns;
  const int tiles = (queries.tokens + kColumns - 1) / kColumns - begin;
  // Heads of a group that are compared follow each other; heads that stay apart come one by one.
  const bool apart = args.figure == Figure::kMean;
  const auto move_to = [&](int item) {
    at.head = apart ? item / tiles : item % group;
    at.query = (begin + (apart ? item % tiles : item / group)) * kColumns;
  };
  const auto load = [&](int stage, int item) {
    move_to(item);
    if (args.rows != nullptr && threadIdx.x < kColumns) {
      const int row = at.query + static_cast<int>(threadIdx.x);
      const bool inside = row < queries.tokens;
      copy_pair_async(
          &shared.rows[stage][threadIdx.x],
          rows + (inside ? static_cast<std::int64_t>(at.head) * queries.tokens + row : 0),
          inside);
    }
    copy_rows<T, Dim, kStride, kScoreThreads>(shared.queries[stage],
                                              query + at.query * pitch + at.head * Dim,
                                              make_int2(kColumns, queries.tokens - at.query),
                                              pitch);
  };
  wait_copies<0>();
  const HeldRows<T, Dim> held(shared.keys + warp_row * kStride);
  Totals<ScoreTile<T, Dim>::kTiles> totals(args.figure);
  const int items = tiles * group;
  load(0, 0);
  for (int item = 0; item < items; ++item) {
    const int stage = item % 2;
    if (item + 1 < items) {
      load(stage ^ 1, item + 1);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    move_to(item);
    Products<T, Dim> figures = {};
    held.multiply_with(shared.queries[stage], figures);
    shape_figures(args, at, shared.rows[stage], figures);
    totals.take(args, at, figures, at.head == group - 1);
    if (apart && (item + 1) % tiles == 0) {
      totals.write(args, at);
    }
    __syncthreads();
  }
  if (args.figure == Figure::kLogits) {
    write_missing_logits(args, at);
  } else if (!apart) {
    totals.write(args, at);
  }
}

}  // namespace

void add_columns(const Target& target, const ColumnsArgs& args) {
  const QueryRows& queries = args.queries;
  dispatch_element(queries.kv.dtype, [&](auto element) {
    using T = decltype(element);
    dispatch_head_dim("scoring of a prompt", queries.shape.head_dim, [&](auto dim) {
      constexpr int kDim = decltype(dim)::value;
      launch(target,
             columns_kernel<T, kDim>,
             {.blocks = dim3(ceil_div(static_cast<std::size_t>(args.present), kScoreTile),
                             static_cast<unsigned>(queries.shape.kv_heads),
                             static_cast<unsigned>(queries.batch)),
              .threads = kScoreThreads,
              .shared_bytes = sizeof(ColumnsShared<T, kDim>)},
             args);
    });
  });
}

}  // namespace kvg::kernels
