#include "kernels/cuda/element.cuh"
#include "kernels/cuda/ops.cuh"

namespace kvg::kernels {
namespace {

constexpr int kThreads = 128;

// Block: entries x kv_head x batch row; a thread takes elements.
template <typename T>
__global__ void __launch_bounds__(kThreads) store_kernel(StoreArgs args) {
  allow_next();
  wait_for_inputs();
  const int dim = args.shape.head_dim;
  const std::int64_t batch = blockIdx.z;
  const std::int64_t index = batch * args.shape.kv_heads + blockIdx.y;
  const HeadCursor& head = args.to.heads[index];
  const std::int64_t from = batch * args.from.batch_stride + blockIdx.y * args.from.head_stride;
  const std::int64_t to = (batch * args.to.slots + head.start) * dim;
  for (std::int64_t i = blockIdx.x; i < head.entries; i += gridDim.x) {
    const std::int64_t slot = args.kept == nullptr ? i : args.kept[index * args.kept_stride + i];
    for (int c = threadIdx.x; c < dim; c += kThreads) {
      static_cast<T*>(args.to.keys.codes)[to + i * dim + c] =
          static_cast<const T*>(args.from.keys)[from + slot * dim + c];
      static_cast<T*>(args.to.values.codes)[to + i * dim + c] =
          static_cast<const T*>(args.from.values)[from + slot * dim + c];
    }
  }
}

}  // namespace

void append_entry(const Target& /*target*/, DType /*compute*/, const AppendArgs& /*args*/) {
  throw InvalidArgument("append has no kernel here");
}

void settle_entries(const Target& /*target*/, DType /*compute*/, const SettleArgs& /*args*/) {
  throw InvalidArgument("settle has no kernel here");
}

void store_entries(const Target& target, DType compute, const StoreArgs& args) {
  KVG_EXPECT(args.to.keys.form == native_form(compute) && args.to.values.form == native_form(compute),
             "native forms alone so far");
  constexpr unsigned kBlocks = 1024;
  dispatch_element(compute, [&](auto element) {
    launch(target,
           store_kernel<decltype(element)>,
           {.blocks = dim3(kBlocks,
                           static_cast<unsigned>(args.shape.kv_heads),
                           static_cast<unsigned>(args.batch)),
            .threads = kThreads},
           args);
  });
}

}  // namespace kvg::kernels
