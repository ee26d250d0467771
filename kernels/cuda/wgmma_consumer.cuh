#pragma once

#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/wgmma_attention.cuh"

namespace kvg::kernels::wgmma {

/// What a warpgroup knows of its queries; a thread holds two rows.
template <int Dim>
struct Accumulator {
  float out[Dim / 2];
  float largest[2];
  float sum[2];
};

__device__ inline float power_of_two(float value) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value));
  return power;
}

// Starts scores [64, 128] = queries keys^T.
template <typename T, int Dim>
__device__ void start_scores(float (&scores)[kKeys / 2], unsigned queries, unsigned keys) {
  const std::uint64_t a = SharedLayout::describe(queries, 16);
  const std::uint64_t b = SharedLayout::describe(keys, 16);
#pragma unroll
  for (int k = 0; k < Dim; k += 16) {
    const int part = k / SharedLayout::kColumns;
    const unsigned column = k % SharedLayout::kColumns * 2;
    multiply_shared<T>(
        scores, moved(a, part * kQueryPart + column), moved(b, part * kKeyPart + column), k > 0);
  }
  commit_products();
}

// Starts out [64, Dim] += weights values.
template <typename T, int Dim>
__device__ void start_mix(float (&out)[Dim / 2],
                          const unsigned (&weights)[kKeys / 16][4],
                          unsigned values) {
  const std::uint64_t b = SharedLayout::describe(values, kKeyPart);
#pragma unroll
  for (int k = 0; k < kKeys / 16; ++k) {
    multiply_rows<T>(out, weights[k], moved(b, k * 2 * SharedLayout::kEightRows));
  }
  commit_products();
}

// Hides keys after each query. `visible` is the last key of this tile that the thread's first row
// may see.
__device__ inline void hide_scores(float (&scores)[kKeys / 2], int visible) {
  const int column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int i = 0; i < kKeys / 2; ++i) {
    const int key = i / 4 * 8 + column + i % 2;
    scores[i] = key <= visible + i % 4 / 2 * 8 ? scores[i] : -INFINITY;
  }
}

// Turns scores into weights relative to the running maximum of each row; `decay` is what older
// weights shrink by.
template <int Dim>
__device__ void weigh_scores(float (&scores)[kKeys / 2],
                             Accumulator<Dim>& state,
                             float (&decay)[2],
                             float scale) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    // Two chains each, which depend on one another less.
    float largest[2] = {state.largest[half], scores[2 * half]};
#pragma unroll
    for (int i = 2 * half; i < kKeys / 2; i += 4) {
      largest[0] = fmaxf(largest[0], scores[i]);
      largest[1] = fmaxf(largest[1], scores[i + 1]);
    }
    float all = fmaxf(largest[0], largest[1]);
    all = fmaxf(all, __shfl_xor_sync(kAllLanes, all, 1));
    all = fmaxf(all, __shfl_xor_sync(kAllLanes, all, 2));
    // Every query sees key 0, and tiles come in order, so that `all` is finite.
    decay[half] = power_of_two((state.largest[half] - all) * scale);
    state.largest[half] = all;
    const float offset = all * scale;
    float sum[2] = {};
#pragma unroll
    for (int i = 2 * half; i < kKeys / 2; i += 4) {
      scores[i] = power_of_two(fmaf(scores[i], scale, -offset));
      scores[i + 1] = power_of_two(fmaf(scores[i + 1], scale, -offset));
      sum[0] += scores[i];
      sum[1] += scores[i + 1];
    }
    state.sum[half] = fmaf(state.sum[half], decay[half], sum[0] + sum[1]);
  }
}

template <typename T>
__device__ void pack_weights(const float (&scores)[kKeys / 2], unsigned (&weights)[kKeys / 16][4]) {
#pragma unroll
  for (int i = 0; i < kKeys / 4; ++i) {
    weights[i / 4][i % 4] = pack_pair(scores[2 * i], scores[2 * i + 1], T{});
  }
}

template <int Dim>
__device__ void scale_out(float (&out)[Dim / 2], const float (&by)[2]) {
#pragma unroll
  for (int i = 0; i < Dim / 2; ++i) {
    out[i] *= by[i % 4 / 2];
  }
}

// Waits for the other threads of the warpgroup; barrier 0 is __syncthreads().
__device__ inline void synchronise_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(kGroup) : "memory");
}

// Every warp says for itself that its products have read what the barrier stands for.
__device__ inline void release(std::uint64_t& free) {
  if (threadIdx.x % kWarp == 0) {
    arrive(free);
  }
}

// Divides by the sums and writes the rows as 16-bit elements to where they are stored from.
template <typename T, int Dim>
__device__ void stage_rows(unsigned char (&parts)[Shape<Dim>::kParts][kQueryPart],
                           Accumulator<Dim>& state) {
  constexpr unsigned kChunks = SharedLayout::kColumns / 8;
  float inverse[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = state.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    inverse[half] = 1.0F / sum;
  }
  scale_out<Dim>(state.out, inverse);
  const unsigned lane = threadIdx.x % kWarp;
  const unsigned row = threadIdx.x % kGroup / kWarp * 16 + lane % 16;
#pragma unroll
  for (int i = 0; i < Dim / 16; ++i) {
    const float* out = state.out + 8 * i;
    const unsigned words[4] = {pack_pair(out[0], out[1], T{}),
                               pack_pair(out[2], out[3], T{}),
                               pack_pair(out[4], out[5], T{}),
                               pack_pair(out[6], out[7], T{})};
    const unsigned chunk = 2 * i + lane / 16;
    store_matrices(
        shared_address(parts[chunk / kChunks]) + SharedLayout::place(row, chunk % kChunks), words);
  }
}

/// The work of a warpgroup: its queries of every tile of the block.
template <typename T, int Dim>
class Consumer {
 public:
  __device__ Consumer(const Args& args, Shared<Dim>& shared)
      : args_(args),
        shared_(shared),
        group_(static_cast<int>(threadIdx.x) / kGroup - 1),
        row_(group_ * kRows + static_cast<int>(threadIdx.x) % kGroup / kWarp * 16 +
             static_cast<int>(threadIdx.x) % kWarp / 4),
        queries_(shared_address(shared.queries[group_])) {}

  /// `parity` is that of the phase in which the queries arrive.
  __device__ void attend(const Work& work, unsigned parity) {
    Accumulator<Dim> state = {.out = {}, .largest = {-INFINITY, -INFINITY}, .sum = {}};
    float scores[kKeys / 2];
    unsigned weights[kKeys / 16][4];
    float decay[2];
    wait_phase(shared_.queries_full, parity);
    wait_phase(shared_.keys_full[keys_.stage], keys_.parity);
    begin_products(scores);
    start_scores<T, Dim>(scores, queries_, shared_address(shared_.keys[keys_.stage]));
    wait_products<0>(scores);
    finish_scores(work, 0, scores);
    weigh_scores(scores, state, decay, args_.scale);
    pack_weights<T>(scores, weights);
    wait_phase(shared_.values_full[values_.stage], values_.parity);
    for (int tile = 1; tile < work.tiles; ++tile) {
      wait_phase(shared_.keys_full[keys_.stage], keys_.parity);
      begin_products(scores, state.out, weights);
      start_scores<T, Dim>(scores, queries_, shared_address(shared_.keys[keys_.stage]));
      start_mix<T, Dim>(state.out, weights, shared_address(shared_.values[values_.stage]));
      wait_products<1>(scores);
      finish_scores(work, tile, scores);
      weigh_scores(scores, state, decay, args_.scale);
      // The next values are waited for here: the compiler keeps the weighing, which runs beside the
      // products, in front of this loop and the end of the products behind it.
      Ring next = values_;
      next.advance();
      wait_phase(shared_.values_full[next.stage], next.parity);
      wait_products<0>(state.out);
      finish_mix();
      scale_out<Dim>(state.out, decay);
      pack_weights<T>(scores, weights);
    }
    begin_products(state.out, weights);
    start_mix<T, Dim>(state.out, weights, shared_address(shared_.values[values_.stage]));
    wait_products<0>(state.out);
    finish_mix();
    store(work, state);
  }

 private:
  __device__ void store(const Work& work, Accumulator<Dim>& state) {
    const bool copies = threadIdx.x % kGroup == 0;
    if (copies) {
      wait_stores_read();
    }
    synchronise_group(group_);
    stage_rows<T, Dim>(shared_.out[group_], state);
    publish_box();
    synchronise_group(group_);
    if (copies) {
      const int first = work.first + group_ * kRows;
      for (int part = 0; part < Shape<Dim>::kParts; ++part) {
        store_box(args_.out,
                  {part * SharedLayout::kColumns, work.head, first, work.batch},
                  shared_.out[group_][part]);
      }
      commit_stores();
    }
  }
  // Gives the keys back and hides what the queries may not see.
  __device__ void finish_scores(const Work& work, int tile, float (&scores)[kKeys / 2]) {
    release(shared_.keys_free[keys_.stage]);
    keys_.advance();
    if (tile + 1 == work.tiles) {
      release(shared_.queries_free);
    }
    const int visible = args_.past + work.first - tile * kKeys;
    if (visible + group_ * kRows < kKeys - 1) {
      hide_scores(scores, visible + row_);
    }
  }
  __device__ void finish_mix() {
    release(shared_.values_free[values_.stage]);
    values_.advance();
  }

  const Args& args_;
  Shared<Dim>& shared_;
  int group_;
  int row_;  // of the block's queries, the first that this thread holds
  unsigned queries_;
  Ring keys_;
  Ring values_;
};

}  // namespace kvg::kernels::wgmma
