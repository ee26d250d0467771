#include <algorithm>

#include "kernels/cuda/head_dim.cuh"
#include "kernels/cuda/prefill_attention_wgmma.cuh"
#include "kernels/cuda/tensor_map.cuh"
#include "kernels/cuda/wgmma_consumer.cuh"

namespace kvg::kernels::wgmma {
namespace {

constexpr float kLog2E = 1.4426950408889634F;

template <typename T, int Dim>
__global__ void __launch_bounds__(Shape<Dim>::kThreads, 1)
    attention_kernel(const __grid_constant__ Args args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char raw[];
  auto& shared = *reinterpret_cast<Shared<Dim>*>(raw);
  allow_next();
  make_barriers(shared);
  wait_for_inputs();
  if (threadIdx.x < kGroup) {
    shrink_registers<Shape<Dim>::kProducerRegisters>();
    if (threadIdx.x == 0) {
      produce(args, shared);
    }
  } else {
    grow_registers<Shape<Dim>::kConsumerRegisters>();
    Consumer<T, Dim> consumer(args, shared);
    Work work;
    for (int round = 0; find_work<Dim>(args, round, work); ++round) {
      consumer.attend(work, round & 1U);
    }
    if (threadIdx.x % kGroup == 0) {
      wait_stores();
    }
  }
#endif
}

template <typename T, int Dim>
void launch_attention(const Target& target, const PrefillAttendArgs& args) {
  constexpr auto kColumns = static_cast<std::uint32_t>(SharedLayout::kColumns);
  const auto heads = static_cast<std::uint64_t>(args.shape.heads);
  const auto tokens = static_cast<std::uint64_t>(args.tokens);
  const auto batch = static_cast<std::uint64_t>(args.batch);
  const TensorShape rows = {.data = args.query,
                            .sizes = {Dim, heads, tokens, batch},
                            .strides = {Dim * 2, heads * Dim * 2, tokens * heads * Dim * 2},
                            .box = {kColumns, 1, kRows, 1}};
  TensorShape out = rows;
  out.data = args.out;
  const TensorShape keys = {.data = args.kv.keys,
                            .sizes = {Dim,
                                      static_cast<std::uint64_t>(args.past) + tokens,
                                      static_cast<std::uint64_t>(args.shape.kv_heads),
                                      batch},
                            .strides = {Dim * 2,
                                        static_cast<std::uint64_t>(args.kv.head_stride) * 2,
                                        static_cast<std::uint64_t>(args.kv.batch_stride) * 2},
                            .box = {kColumns, kKeys, 1, 1}};
  TensorShape values = keys;
  values.data = args.kv.values;
  const unsigned tiles = ceil_div(args.tokens, Shape<Dim>::kQueries) *
                         static_cast<unsigned>(args.shape.heads * args.batch);
  launch(target,
         attention_kernel<T, Dim>,
         {.blocks = dim3(std::min(tiles, static_cast<unsigned>(target.multiprocessors))),
          .threads = Shape<Dim>::kThreads,
          .shared_bytes = sizeof(Shared<Dim>)},
         Args{.query = map_tensor(rows),
              .keys = map_tensor(keys),
              .values = map_tensor(values),
              .out = map_tensor(out),
              .past = args.past,
              .tokens = args.tokens,
              .heads = args.shape.heads,
              .group = args.shape.heads / args.shape.kv_heads,
              .batch = args.batch,
              .scale = args.scale * kLog2E});
}

template <typename T>
void launch_any(const Target& target, const PrefillAttendArgs& args) {
  dispatch_head_dim("prefill attention", args.shape.head_dim, [&](auto dim) {
    constexpr int kDim = decltype(dim)::value;
    if constexpr (kDim <= kWidestHead) {
      launch_attention<T, kDim>(target, args);
    }
  });
}

}  // namespace

bool is_built_for([[maybe_unused]] int major, [[maybe_unused]] int minor) {
#if defined(KVG_SM_90A)
  return major == 9 && minor == 0;
#else
  return false;
#endif
}

bool fits(const Target& target, const PrefillAttendArgs& args) {
  const bool aligned = args.kv.head_stride % 8 == 0 && args.kv.batch_stride % 8 == 0;
  return target.wgmma && aligned && args.shape.head_dim <= kWidestHead && args.scale > 0.0F &&
         args.sink_query == nullptr && args.sees.is_everything();
}

void prefill_attend(const Target& target, const PrefillAttendArgs& args) {
  if (args.kv.dtype == DType::kF16) {
    launch_any<__half>(target, args);
  } else {
    launch_any<__nv_bfloat16>(target, args);
  }
}

}  // namespace kvg::kernels::wgmma
