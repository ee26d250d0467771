#include "kernels/core/error.h"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/scoring_scratch.cuh"
#include "kernels/cuda/scoring_select.cuh"

// Quest: bounds of pages, and the pages that a step reads.

namespace kvg::kernels {
namespace {

constexpr int kThreads = 128;

// Block: page x (batch row, kv_head); a step has one page, that of the newest entry.
template <typename T>
__global__ void __launch_bounds__(kThreads) page_bounds_kernel(PageBoundsArgs args) {
  allow_next();
  wait_for_inputs();
  const HeadShape& shape = args.shape;
  const int dim = shape.head_dim;
  const int index = blockIdx.y;
  const bool step = args.heads != nullptr;
  const int newest = step ? args.heads[index].entries - 1 : 0;
  const int page = step ? newest / args.page : static_cast<int>(blockIdx.x);
  const bool begins = !step || newest % args.page == 0;
  const int first = step ? 0 : page * args.page;
  const int end = step ? 1 : min(first + args.page, args.keys);
  const T* keys = static_cast<const T*>(args.from.keys) +
                  index / shape.kv_heads * args.from.batch_stride +
                  index % shape.kv_heads * args.from.head_stride;
  float* bounds = args.bounds + (static_cast<std::int64_t>(index) * args.pages + page) * 2 * dim;
  for (int c = threadIdx.x; c < dim; c += kThreads) {
    float least = begins ? INFINITY : bounds[c];
    float most = begins ? -INFINITY : bounds[dim + c];
    for (int key = first; key < end; ++key) {
      const float x = to_float(keys[static_cast<std::int64_t>(key) * dim + c]);
      least = fminf(least, x);
      most = fmaxf(most, x);
    }
    bounds[c] = least;
    bounds[dim + c] = most;
  }
}

__device__ int pages_of(const ChoosePagesArgs& args, int index) {
  return (args.heads[index].entries + args.page - 1) / args.page;
}

// Most channels of a lane.
constexpr int kOwn = 256 / kWarp;

// max(q least, q most). Products of 16-bit floats are exact in f32, and widening a double costs
// more than all else here.
template <typename T>
__device__ double upper(T query, float least, float most) {
  if constexpr (sizeof(T) == 2) {
    const float q = to_float(query);
    return fmaxf(q * least, q * most);
  } else {
    const double q = to_float(query);
    return fmax(q * static_cast<double>(least), q * static_cast<double>(most));
  }
}

// A warp takes one page of a kv_head. The newest page gets +infinity.
template <typename T>
__global__ void __launch_bounds__(kThreads) bound_pages_kernel(ChoosePagesArgs args, double* out) {
  allow_next();
  wait_for_inputs();
  const HeadShape& shape = args.shape;
  const int dim = shape.head_dim;
  const int group = shape.heads / shape.kv_heads;
  const int index = blockIdx.y;
  const int page = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kWarp);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int pages = pages_of(args, index);
  if (page >= pages) {
    return;
  }
  const std::int64_t at = static_cast<std::int64_t>(index) * args.all_pages + page;
  float least[kOwn];
  float most[kOwn];
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int c = lane + i * kWarp;
    least[i] = c < dim ? args.bounds[at * 2 * dim + c] : 0.0F;
    most[i] = c < dim ? args.bounds[(at * 2 + 1) * dim + c] : 0.0F;
  }
  // The groups of a row's kv_heads lie one behind the other.
  const T* query =
      static_cast<const T*>(args.query) + static_cast<std::int64_t>(index) * group * dim;
  double figure = 0.0;
  for (int member = 0; member < group; ++member) {
    double bound = 0.0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int c = lane + i * kWarp;
      bound += c < dim ? upper(query[member * dim + c], least[i], most[i]) : 0.0;
    }
    bound = warp_sum(bound);
    if (member == 0) {
      figure = bound;
    } else {
      figure = args.reduce == Reduce::kMax ? fmax(figure, bound) : figure + bound;
    }
  }
  if (lane == 0) {
    const double score = args.reduce == Reduce::kMean ? figure / group : figure;
    out[at] = page == pages - 1 ? INFINITY : score;
  }
}

// Block: a kv_head of a batch row.
__global__ void __launch_bounds__(kScoringBlock)
    choose_pages_kernel(ChoosePagesArgs args, const double* figures) {
  allow_next();
  wait_for_inputs();
  const double* own = figures + static_cast<std::int64_t>(blockIdx.x) * args.all_pages;
  const int pages = pages_of(args, static_cast<int>(blockIdx.x));
  const auto key = [&](int page) { return rank_of(own[page]); };
  const auto tie = [](int page) { return static_cast<std::uint64_t>(page); };
  const Threshold threshold = select_largest(pages, args.count, key, tie);
  std::int32_t* out = args.pages + static_cast<std::int64_t>(blockIdx.x) * args.count;
  const int kept = keep_in_order(
      pages,
      [&](int page) { return reaches(threshold, key(page), tie(page)); },
      [&](int page, int at) { out[at] = page; });
  for (int at = kept + static_cast<int>(threadIdx.x); at < args.count; at += kScoringBlock) {
    out[at] = -1;
  }
}

}  // namespace

void CudaScoring::page_bounds(const PageBoundsArgs& args) {
  check(args.from);
  const bool step = args.heads != nullptr;
  KVG_EXPECT(step || args.keys <= static_cast<std::int64_t>(args.pages) * args.page,
             "every token has a page");
  const unsigned pages =
      step ? 1 : ceil_div(static_cast<std::size_t>(args.keys), static_cast<std::size_t>(args.page));
  if (pages == 0 || args.batch == 0) {
    return;
  }
  dispatch_element(compute_, [&](auto element) {
    launch(target_,
           page_bounds_kernel<decltype(element)>,
           {.blocks = dim3(pages, static_cast<unsigned>(args.batch * args.shape.kv_heads)),
            .threads = kThreads},
           args);
  });
}

void CudaScoring::choose_pages(const ChoosePagesArgs& args) {
  KVG_EXPECT(args.reduce != Reduce::kAll && args.count > 0,
             "pages are reduced over the group, and the newest is among them");
  KVG_EXPECT(args.shape.head_dim <= kOwn * kWarp, "a warp holds a page's bounds");
  if (args.batch == 0 || args.all_pages == 0) {
    return;
  }
  Stretches memory(scratch_, scratch_bytes_);
  double* const figures =
      page_scratch(memory, {.heads = args.shape, .batch = args.batch, .count = args.all_pages});
  const auto rows = static_cast<unsigned>(args.batch * args.shape.kv_heads);
  dispatch_element(compute_, [&](auto element) {
    launch(
        target_,
        bound_pages_kernel<decltype(element)>,
        {.blocks = dim3(ceil_div(static_cast<std::size_t>(args.all_pages) * kWarp, kThreads), rows),
         .threads = kThreads},
        args,
        figures);
  });
  launch(target_,
         choose_pages_kernel,
         {.blocks = dim3(rows), .threads = kScoringBlock},
         args,
         figures);
}

}  // namespace kvg::kernels
