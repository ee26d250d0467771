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

// What a kernel takes that declares so much: what it asks for besides starts at a multiple of 128.
constexpr std::size_t declared_bytes(std::size_t bytes) {
  return (bytes + 127) / 128 * 128;
}

// Steps that the ring holds in `room` bytes of shared memory, beside `staged` bytes of input.
int ring_stages(int room, int rows, std::size_t staged) {
  constexpr std::size_t kDeclared = declared_bytes(sizeof(WeightRing) + sizeof(ChainGates) +
                                                   sizeof(ChainArgs<__half>) + sizeof(RowSums));
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
  return elements_bytes(rows, in, size_of(compute)) + declared_bytes(sizeof(RowSums)) <=
         static_cast<std::size_t>(target.shared_bytes);
}

bool ProjectionChain::takes(const Linear& linear) const {
  return target_.overlaps && compute_ != DType::kF32 && linear.in % Pack<__half>::kCount == 0 &&
         is_aligned(linear.weight, sizeof(Pack<__half>));
}

void ProjectionChain::add(Link link, const Linear& linear) {
  if (takes(linear)) {
    append(std::move(link));
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
       .out = {args.out, row_bytes(args.rows, features, args.out_dtype)},
       .may_post = args.out_dtype == compute_,
       .is_gated = is_gated(args.activation)},
      args.linear);
}

void ProjectionChain::add(const AddProjectArgs& args) {
  add({.args = args,
       .in = {args.in, row_bytes(args.rows, args.linear.in, compute_)},
       .out = {args.inout, row_bytes(args.rows, args.linear.out, DType::kF32)},
       .may_post = true},
      args.linear);
}

void ProjectionChain::add(const QkvArgs& args) {
  add({.args = args,
       .in = {args.in, row_bytes(args.batch * args.tokens, args.linear.in, DType::kF32)},
       .out = {}},
      args.linear);
}

// Lets a link that takes what one before it gives read it from posts. False where it would have to
// wait for anything else: then it belongs to a kernel of its own.
bool ProjectionChain::connect(Link& link) {
  const auto meet = [](const Range& a, const Range& b) {
    const auto* first = static_cast<const std::byte*>(a.data);
    const auto* second = static_cast<const std::byte*>(b.data);
    return first < second + b.bytes && second < first + a.bytes;
  };
  // The same threads write the same elements, in order.
  const auto are_alike = [](const Link& a, const Link& b) {
    return a.out == b.out && a.args.index() == b.args.index() && a.is_gated == b.is_gated;
  };
  Link* gives = nullptr;  // the last one that writes the input
  std::size_t staged = staged_;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Link& before = links_[i];
    if (meet(link.in, before.out)) {
      if (!before.may_post || before.out != link.in ||
          (gives != nullptr && !are_alike(*gives, before))) {
        return false;
      }
      gives = &before;
      staged = std::max(staged, i + 1);
    }
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const bool overtakes = meet(link.out, links_[i].in) && i >= staged;
    const bool overwrites = meet(link.out, links_[i].out) && !are_alike(link, links_[i]);
    if (overtakes || overwrites) {
      return false;
    }
  }
  if (gives != nullptr) {
    if (gives->posts < 0) {
      const std::size_t end = static_cast<std::size_t>(posted_) + link.in.bytes;
      if (workspace_ == nullptr || end > workspace_->plan().posts.bytes / 2) {
        return false;
      }
      gives->posts = posted_;
      posted_ = static_cast<int>(end);
    }
    link.reads = gives->posts;
    staged_ = staged;
  }
  return true;
}

void ProjectionChain::append(Link link) {
  link.posts = -1;
  link.reads = -1;
  if (links_.size() == kMostLinks || !connect(link)) {
    flush();
  }
  links_.push_back(std::move(link));
}

template <typename T>
void ProjectionChain::launch_chain() {
  ChainArgs<T> chain;
  chain.count = static_cast<int>(links_.size());
  chain.ahead = static_cast<int>(ahead_);
  int rows = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    Projection<T> projection =
        std::visit([](const auto& args) { return Projection<T>(args); }, links_[i].args);
    GemvArgs& gemv = projection.gemv;
    gemv.stride = gemv_stride(gemv.length);
    gemv.share = UnitShare(gemv.units, target_.multiprocessors, gemv.last_take_more);
    const int room = 1 << tile_shift(projection.is_paired());
    rows = std::max(rows, gemv.rows);
    chain.clears = chain.clears || gemv.length % kLineColumns != 0;
    chain.staged = std::max(chain.staged, static_cast<int>(staged_bytes(gemv.rows, gemv.length)));
    const int steps = ceil_of(gemv.length, kMostStepColumns);
    chain.links[i] = {
        .projection = projection,
        .cuts = {TileCut(gemv.share.each, room), TileCut(gemv.share.each + 1, room)},
        .steps = steps,
        .step_columns = ceil_of(ceil_of(gemv.length, kLineColumns), steps) * kLineColumns,
        .posts = links_[i].posts,
        .reads = links_[i].reads};
  }
  const auto staged = static_cast<std::size_t>(chain.staged);
  chain.stages = ring_stages(target_.shared_bytes, rows, staged);
  // A part of it goes beside a block of attention, where that leaves a ring.
  const int beside = ring_stages(target_.shared_bytes - beside_, rows, staged);
  if (beside >= kFewStages) {
    chain.stages = beside;
  }
  chain.rows = rows;
  if (tells_ || ahead_ > 0 || posted_ > 0) {
    KVG_EXPECT(workspace_ != nullptr, "projections that follow each other have a workspace");
    auto* counts = static_cast<unsigned*>(workspace_->at(workspace_->plan().chain));
    unsigned* told[2] = {counts + 1, counts + 2};
    if (ahead_ > 0) {
      chain.hears = told[turn_];
    }
    if (tells_) {
      turn_ = 1 - turn_;
      chain.tells = told[turn_];
    }
    chain.ends = counts;
  }
  if (posted_ > 0) {
    const WorkspacePart& posts = workspace_->plan().posts;
    chain.post_sets = static_cast<std::byte*>(workspace_->at(posts));
    chain.post_bytes = static_cast<int>(posts.bytes / 2);
  }
  launch(target_,
         chain_kernel<T>,
         {.blocks = dim3(static_cast<unsigned>(target_.multiprocessors)),
          .threads = kChainThreads,
          .shared_bytes = static_cast<std::size_t>(chain.stages * kStageBytes) +
                          static_cast<std::size_t>(chain.staged) + 2 * round_bytes(rows)},
         chain);
}

bool ProjectionChain::flush_before(const AttendArgs& args) {
  const auto is_apart = [&](const Link& link) {
    return !std::holds_alternative<QkvArgs>(link.args) && link.out.data != args.query &&
           link.in.data != args.out;
  };
  const auto first_apart = std::find_if_not(links_.rbegin(), links_.rend(), is_apart).base();
  // They hear of the end of those before when the last of these still runs, whose results they may
  // have no use for.
  if (first_apart == links_.begin() || !std::holds_alternative<QkvArgs>(first_apart[-1].args)) {
    flush();
    return false;
  }
  std::vector<Link> apart(std::make_move_iterator(first_apart),
                          std::make_move_iterator(links_.end()));
  links_.erase(first_apart, links_.end());
  tells_ = !apart.empty();
  flush();
  for (Link& link : apart) {
    append(std::move(link));
  }
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
  staged_ = 0;
  posted_ = 0;
  ahead_ = 0;
  beside_ = 0;
  tells_ = false;
}

}  // namespace kvg::kernels
