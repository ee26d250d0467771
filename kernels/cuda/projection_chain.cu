#include <algorithm>

#include "kernels/cuda/attend_args.cuh"
#include "kernels/cuda/chain_kernel.cuh"
#include "kernels/cuda/gemv_elements.cuh"
#include "kernels/cuda/projection_chain.cuh"

namespace kvg::kernels {
namespace {

// Bytes of the staged input of a projection.
constexpr std::size_t staged_bytes(int rows, int length) {
  return elements_bytes(rows, length, 2);
}

// Steps that the ring holds in `room` bytes of shared memory, beside `staged` bytes of input.
int ring_stages(int room, int rows, std::size_t staged) {
  // What the kernel declares, the statistics of rows last.
  constexpr std::size_t kDeclared =
      sizeof(WeightRing) + sizeof(ChainArgs<__half>) + 4 * kGemvWarps * sizeof(float);
  const std::size_t beside = staged + 2 * round_bytes(rows) + kDeclared;
  const auto whole = static_cast<std::size_t>(std::max(room, 0));
  const std::size_t most = whole < beside ? 0 : (whole - beside) / kStageBytes;
  return std::min(static_cast<int>(most), kMostStages);
}

int ceil_of(int value, int by) {
  return (value + by - 1) / by;
}

std::size_t row_bytes(int rows, int width, DType dtype) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width) * size_of(dtype);
}

}  // namespace

bool fits_decode(const Target& target, DType compute, int rows, int in) {
  if (rows > kMaxDecodeRows) {
    return false;
  }
  if (compute != DType::kF32 && target.overlaps) {
    return ring_stages(target.shared_bytes, rows, staged_bytes(rows, in)) >= kFewStages;
  }
  // What a kernel declares besides: the statistics of the rows.
  constexpr std::size_t kDeclaredBytes = 4 * kGemvWarps * sizeof(float);
  return elements_bytes(rows, in, size_of(compute)) + kDeclaredBytes <=
         static_cast<std::size_t>(target.shared_bytes);
}

bool ProjectionChain::takes(const Linear& linear) const {
  return target_.overlaps && compute_ != DType::kF32 && linear.in % Pack<__half>::kCount == 0 &&
         is_aligned(linear.weight, sizeof(Pack<__half>));
}

void ProjectionChain::add(Link link, const Linear& linear) {
  if (takes(linear)) {
    if (links_.size() == kMostLinks) {
      flush();
    }
    links_.push_back(std::move(link));
    return;
  }
  flush();
  dispatch_element(compute_, [&](auto element) {
    std::visit(
        [&](const auto& args) { launch_elements(target_, Projection<decltype(element)>(args)); },
        link.args);
  });
}

void ProjectionChain::add(const ProjectArgs& args) {
  const int features = args.linear.out / (is_gated(args.activation) ? 2 : 1);
  add({.args = args,
       .in = {args.in, row_bytes(args.rows, args.linear.in, DType::kF32)},
       .out = {args.out, row_bytes(args.rows, features, args.out_dtype)}},
      args.linear);
}

void ProjectionChain::add(const AddProjectArgs& args) {
  add({.args = args,
       .in = {args.in, row_bytes(args.rows, args.linear.in, compute_)},
       .out = {args.inout, row_bytes(args.rows, args.linear.out, DType::kF32)}},
      args.linear);
}

void ProjectionChain::add(const QkvArgs& args) {
  add({.args = args,
       .in = {args.in, row_bytes(args.batch * args.tokens, args.linear.in, DType::kF32)},
       .out = {}},
      args.linear);
}

// Whether each link has to wait for those before it: it reads what they write, or writes what they
// touch. Sums that are added to the same rows are a block's own, in order.
std::vector<bool> ProjectionChain::waits() const {
  const auto meet = [](const Range& a, const Range& b) {
    const auto* first = static_cast<const std::byte*>(a.data);
    const auto* second = static_cast<const std::byte*>(b.data);
    return first < second + b.bytes && second < first + a.bytes;
  };
  const auto add_to_the_same = [](const Link& a, const Link& b) {
    return std::holds_alternative<AddProjectArgs>(a.args) &&
           std::holds_alternative<AddProjectArgs>(b.args) && a.out == b.out;
  };
  std::vector<bool> waits;
  std::size_t since = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const Link& link = links_[i];
    const bool must =
        std::any_of(links_.begin() + static_cast<std::ptrdiff_t>(since),
                    links_.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const Link& before) {
                      return meet(link.in, before.out) || meet(link.out, before.in) ||
                             (meet(link.out, before.out) && !add_to_the_same(link, before));
                    });
    since = must ? i : since;
    waits.push_back(must);
  }
  return waits;
}

template <typename T>
void ProjectionChain::launch_chain() {
  ChainArgs<T> chain;
  chain.count = static_cast<int>(links_.size());
  chain.ahead = static_cast<int>(ahead_);
  const std::vector<bool> waiting = waits();
  int rows = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Projection<T> projection =
        std::visit([](const auto& args) { return Projection<T>(args); }, links_[i].args);
    GemvArgs& gemv = projection.gemv;
    gemv.stride = gemv_stride(gemv.length);
    rows = std::max(rows, gemv.rows);
    chain.clears = chain.clears || gemv.length % kLineColumns != 0;
    chain.staged = std::max(chain.staged, static_cast<int>(staged_bytes(gemv.rows, gemv.length)));
    const int steps = ceil_of(gemv.length, kMostStepColumns);
    chain.links[i] = {
        .projection = projection,
        .steps = steps,
        .step_columns = ceil_of(ceil_of(gemv.length, kLineColumns), steps) * kLineColumns,
        .waits = waiting[i]};
  }
  const auto staged = static_cast<std::size_t>(chain.staged);
  chain.stages = ring_stages(target_.shared_bytes, rows, staged);
  // A part of it goes beside a block of attention, where that leaves a ring.
  const int beside = ring_stages(target_.shared_bytes - beside_, rows, staged);
  if (beside >= kFewStages) {
    chain.stages = beside;
  }
  chain.rows = rows;
  chain.tells = tells_;
  if (tells_ || ahead_ > 0 || std::find(waiting.begin(), waiting.end(), true) != waiting.end()) {
    KVG_EXPECT(workspace_ != nullptr, "projections that follow each other have a workspace");
    chain.arrivals = static_cast<unsigned*>(workspace_->at(workspace_->plan().chain));
  }
  launch(target_,
         chain_kernel<T>,
         {.blocks = dim3(static_cast<unsigned>(target_.multiprocessors)),
          .threads = kChainThreads,
          .shared_bytes = static_cast<std::size_t>(chain.stages) * kStageBytes +
                          static_cast<std::size_t>(chain.staged) + 2 * round_bytes(rows)},
         chain);
}

bool ProjectionChain::flush_before(const AttendArgs& args) {
  const auto is_apart = [&](const Link& link) {
    return !std::holds_alternative<QkvArgs>(link.args) && link.out.data != args.query &&
           link.in.data != args.out;
  };
  const auto first_apart = std::find_if_not(links_.rbegin(), links_.rend(), is_apart).base();
  if (first_apart == links_.begin()) {
    flush();
    return false;
  }
  std::vector<Link> apart(std::make_move_iterator(first_apart),
                          std::make_move_iterator(links_.end()));
  links_.erase(first_apart, links_.end());
  tells_ = !apart.empty();
  flush();
  links_ = std::move(apart);
  ahead_ = links_.size();
  return ahead_ > 0;
}

void ProjectionChain::flush() {
  if (links_.empty()) {
    return;
  }
  if (compute_ == DType::kF16) {
    launch_chain<__half>();
  } else {
    launch_chain<__nv_bfloat16>();
  }
  links_.clear();
  ahead_ = 0;
  beside_ = 0;
  tells_ = false;
}

}  // namespace kvg::kernels
