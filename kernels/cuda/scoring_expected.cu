#include <cmath>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_reduce.cuh"
#include "kernels/cuda/scoring_scratch.cuh"

// ExpectedAttention in double: its logits grow with the squares of keys, and a softmax follows.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kKeys = 64;     // of a block of logits
constexpr int kColumns = 64;  // of S at a time
constexpr int kOwn = 4;

struct ExpectedKernelArgs {
  ExpectedArgs args;
  ExpectedScratch scratch;
};

// The mean rotation of a pair of channels.
struct Rotation {
  double cosine;
  double sine;
};

// A head's mu and S before they are turned, and how they turn.
class Turned {
 public:
  __device__ Turned(const ExpectedArgs& args, const Rotation* rotations, std::int64_t row)
      : dim_(args.to.shape.head_dim),
        half_(args.turn.rotary_dim / 2),
        count_(args.to.keys - args.skip),
        rotations_(rotations),
        sums_(args.sums + row * dim_),
        products_(args.products + row * dim_ * dim_) {}

  __device__ double mean(int i) const {
    const Terms terms = terms_of(i);
    double sum = 0.0;
    for (int a = 0; a < terms.count; ++a) {
      sum += terms.factor[a] * sums_[terms.channel[a]] / count_;
    }
    return sum;
  }

  __device__ double covariance(int i, int j) const {
    const Terms rows = terms_of(i);
    const Terms columns = terms_of(j);
    double sum = 0.0;
    for (int a = 0; a < rows.count; ++a) {
      for (int b = 0; b < columns.count; ++b) {
        sum += rows.factor[a] * columns.factor[b] * plain(rows.channel[a], columns.channel[b]);
      }
    }
    return sum;
  }

 private:
  // What a turned channel is made of.
  struct Terms {
    int count;
    int channel[2];
    double factor[2];
  };

  __device__ Terms terms_of(int i) const {
    if (i >= 2 * half_) {
      return {1, {i, i}, {1.0, 0.0}};
    }
    const Rotation& by = rotations_[i % half_];
    return i < half_ ? Terms{2, {i, i + half_}, {by.cosine, -by.sine}}
                     : Terms{2, {i, i - half_}, {by.cosine, by.sine}};
  }
  __device__ double plain(int i, int j) const {
    return products_[static_cast<std::int64_t>(i) * dim_ + j] / count_ -
           sums_[i] / count_ * (sums_[j] / count_);
  }

  int dim_;
  int half_;
  double count_;
  const Rotation* rotations_;
  const double* sums_;
  const double* products_;
};

// Block: a query head of a batch row.
__global__ void __launch_bounds__(kThreads) turn_moments_kernel(ExpectedKernelArgs kernel) {
  extern __shared__ __align__(16) unsigned char raw[];
  auto* rotations = reinterpret_cast<Rotation*>(raw);
  allow_next();
  wait_for_inputs();
  const ExpectedArgs& args = kernel.args;
  const int dim = args.to.shape.head_dim;
  const int half = args.turn.rotary_dim / 2;
  const std::int64_t row = blockIdx.x;
  for (int pair = threadIdx.x; pair < half; pair += kThreads) {
    Rotation mean = {};
    for (int ahead = 0; ahead < args.future; ++ahead) {
      const float* entry =
          args.turn.table + 2 * ((static_cast<std::int64_t>(args.to.keys) + ahead) * half + pair);
      mean.cosine += static_cast<double>(entry[0]);
      mean.sine += static_cast<double>(entry[1]);
    }
    rotations[pair] = {mean.cosine / args.future, mean.sine / args.future};
  }
  __syncthreads();
  const Turned turned(args, rotations, row);
  for (int i = threadIdx.x; i < dim; i += kThreads) {
    kernel.scratch.mean[row * dim + i] = turned.mean(i);
  }
  double* covariance = kernel.scratch.covariance + row * dim * dim;
  for (int i = threadIdx.x; i < dim * dim; i += kThreads) {
    covariance[i] = turned.covariance(i / dim, i % dim);
  }
}

// Block: 64 keys x query head x batch row. A thread owns 4 keys x 4 of the columns at hand; 16
// threads share keys.
template <typename T>
__global__ void __launch_bounds__(kThreads) expected_logits_kernel(ExpectedKernelArgs kernel) {
  extern __shared__ __align__(16) unsigned char raw[];
  auto* keys = reinterpret_cast<double*>(raw);  // [head_dim][kKeys]
  allow_next();
  wait_for_inputs();
  const ExpectedArgs& args = kernel.args;
  const PromptScores& to = args.to;
  const int dim = to.shape.head_dim;
  const int first = args.skip + static_cast<int>(blockIdx.x) * kKeys;
  const int head = blockIdx.y;
  const std::int64_t batch = blockIdx.z;
  const T* from = static_cast<const T*>(to.kv.keys) + batch * to.kv.batch_stride +
                  head / (to.shape.heads / to.shape.kv_heads) * to.kv.head_stride;
  for (int i = threadIdx.x; i < kKeys * dim; i += kThreads) {
    const int key = first + i / dim;
    keys[i % dim * kKeys + i / dim] =
        key < to.keys
            ? static_cast<double>(to_float(from[static_cast<std::int64_t>(key) * dim + i % dim]))
            : 0.0;
  }
  __syncthreads();
  const std::int64_t row = batch * to.shape.heads + head;
  const double* mean = kernel.scratch.mean + row * dim;
  const double* covariance = kernel.scratch.covariance + row * dim * dim;
  const int own_key = static_cast<int>(threadIdx.x) / (kColumns / kOwn) * kOwn;
  const int lane = static_cast<int>(threadIdx.x) % (kColumns / kOwn);
  const double of_mean = 1.0 / sqrt(static_cast<double>(dim));
  double logits[kOwn] = {};
  for (int column = lane * kOwn; column < dim; column += kColumns) {
    double products[kOwn][kOwn] = {};
    for (int i = 0; i < dim; ++i) {
      const double* s = covariance + static_cast<std::int64_t>(i) * dim + column;
#pragma unroll
      for (int k = 0; k < kOwn; ++k) {
        const double x = keys[i * kKeys + own_key + k];
#pragma unroll
        for (int c = 0; c < kOwn; ++c) {
          products[k][c] = fma(x, column + c < dim ? s[c] : 0.0, products[k][c]);
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
#pragma unroll
      for (int c = 0; c < kOwn; ++c) {
        if (column + c < dim) {
          const double x = keys[(column + c) * kKeys + own_key + k];
          logits[k] += x * (mean[column + c] * of_mean + products[k][c] / (2.0 * dim));
        }
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kOwn; ++k) {
#pragma unroll
    for (int step = kColumns / kOwn / 2; step > 0; step /= 2) {
      logits[k] += __shfl_xor_sync(kAllLanes, logits[k], step);
    }
    const int key = first + own_key + k;
    if (lane == 0 && key < to.keys) {
      kernel.scratch.logits[row * to.keys + key] = logits[k];
    }
  }
}

// Block: a query head of a batch row.
__global__ void __launch_bounds__(kScoringBlock)
    expected_softmax_kernel(ExpectedKernelArgs kernel) {
  allow_next();
  wait_for_inputs();
  const ExpectedArgs& args = kernel.args;
  const double* logits =
      kernel.scratch.logits + static_cast<std::int64_t>(blockIdx.x) * args.to.keys;
  double largest = -INFINITY;
  for (int key = args.skip + static_cast<int>(threadIdx.x); key < args.to.keys;
       key += kScoringBlock) {
    largest = fmax(largest, logits[key]);
  }
  largest = block_max(largest);
  double sum = 0.0;
  for (int key = args.skip + static_cast<int>(threadIdx.x); key < args.to.keys;
       key += kScoringBlock) {
    sum += exp(logits[key] - largest);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    kernel.scratch.softmax[blockIdx.x] = make_double2(largest, sum);
  }
}

// A warp takes one key of a kv_head.
template <typename T>
__global__ void __launch_bounds__(kThreads) expected_scores_kernel(ExpectedKernelArgs kernel) {
  allow_next();
  wait_for_inputs();
  const ExpectedArgs& args = kernel.args;
  const PromptScores& to = args.to;
  const int key = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kWarp);
  const int lane = threadIdx.x % kWarp;
  const std::int64_t batch = blockIdx.y / to.shape.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.y) % to.shape.kv_heads;
  if (key >= to.keys) {
    return;
  }
  double* out = to.out + static_cast<std::int64_t>(blockIdx.y) * to.keys + key;
  if (key < args.skip) {
    *out = INFINITY;
    return;
  }
  const T* value = static_cast<const T*>(to.kv.values) + batch * to.kv.batch_stride +
                   kv_head * to.kv.head_stride + static_cast<std::int64_t>(key) * to.shape.head_dim;
  const double norm = sqrt(warp_sum(square_of_part(value, to.shape.head_dim)));
  const int group = to.shape.heads / to.shape.kv_heads;
  double sum = 0.0;
  for (int member = lane; member < group; member += kWarp) {
    const std::int64_t row = batch * to.shape.heads + kv_head * group + member;
    const double2 softmax = kernel.scratch.softmax[row];
    sum += exp(kernel.scratch.logits[row * to.keys + key] - softmax.x) / softmax.y;
  }
  sum = warp_sum(sum);
  if (lane == 0) {
    *out = sum / group * norm;
  }
}

}  // namespace

void CudaScoring::expected(const ExpectedArgs& args) {
  const PromptScores& to = args.to;
  check(to.kv);
  if (to.keys == 0 || to.batch == 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  const ExpectedKernelArgs kernel = {
      .args = args,
      .scratch =
          expected_scratch(memory, {.heads = to.shape, .batch = to.batch, .count = to.keys})};
  const auto rows = static_cast<unsigned>(to.batch * to.shape.heads);
  const auto kv_rows = static_cast<unsigned>(to.batch * to.shape.kv_heads);
  const std::size_t dim = static_cast<std::size_t>(to.shape.head_dim);
  const auto keys = static_cast<std::size_t>(to.keys);
  dispatch_element(compute_, [&](auto element) {
    using T = decltype(element);
    if (to.keys > args.skip) {
      launch(target_,
             turn_moments_kernel,
             {.blocks = dim3(rows), .threads = kThreads, .shared_bytes = dim * sizeof(Rotation)},
             kernel);
      launch(target_,
             expected_logits_kernel<T>,
             {.blocks = dim3(ceil_div(keys - static_cast<std::size_t>(args.skip), kKeys),
                             static_cast<unsigned>(to.shape.heads),
                             static_cast<unsigned>(to.batch)),
              .threads = kThreads,
              .shared_bytes = kKeys * dim * sizeof(double)},
             kernel);
      launch(target_,
             expected_softmax_kernel,
             {.blocks = dim3(rows), .threads = kScoringBlock},
             kernel);
    }
    launch(target_,
           expected_scores_kernel<T>,
           {.blocks = dim3(ceil_div(keys * kWarp, kThreads), kv_rows), .threads = kThreads},
           kernel);
  });
}

}  // namespace kvg::kernels
