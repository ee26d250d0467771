#pragma once

#include <variant>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/workspace.cuh"

namespace kvg::kernels {

/// The decode projections: weights of the compute dtype, at most kMaxDecodeRows rows. Those that
/// follow each other become one kernel, whose blocks read on from matrix to matrix while they wait
/// for each other's results: what was added is enqueued by flush() at the latest.
class ProjectionChain {
 public:
  /// `workspace` is the one in use.
  ProjectionChain(const Target& target, DType compute, CudaWorkspace* const& workspace)
      : target_(target), compute_(compute), workspace_(workspace) {}

  void add(const ProjectArgs& args);
  void add(const AddProjectArgs& args);
  /// Without query and key norms.
  void add(const QkvArgs& args);

  /// Enqueues what was added.
  void flush();
  /// The same before attention, which is enqueued next: projections at the end that it has nothing
  /// to do with go beside it, as soon as those before it are done. True when there are such.
  [[nodiscard]] bool flush_before(const AttendArgs& args);
  /// What is enqueued next starts while attention runs, beside blocks of it that take this much
  /// shared memory; 0: when they are gone.
  void start_beside(int bytes) { beside_ = bytes; }

 private:
  /// Bytes that a projection reads or writes and another one may touch too.
  struct Range {
    const void* data = nullptr;
    std::size_t bytes = 0;

    bool operator==(const Range&) const = default;
  };
  struct Link {
    std::variant<ProjectArgs, AddProjectArgs, QkvArgs> args;
    Range in;
    Range out;
    bool may_post = false;  ///< its results are what a link behind it takes as input
    bool is_gated = false;
    int posts = -1;  ///< as ChainArgs has them
    int reads = -1;
  };

  [[nodiscard]] bool takes(const Linear& linear) const;
  void add(Link link, const Linear& linear);
  void append(Link link);
  [[nodiscard]] bool connect(Link& link);
  template <typename T>
  void launch_chain();

  const Target& target_;
  DType compute_;
  CudaWorkspace* const& workspace_;
  std::vector<Link> links_;
  std::size_t staged_ = 0;  ///< of these, whose input all blocks have read when the last one runs
  int posted_ = 0;          ///< bytes of the set of posts that they take
  std::size_t ahead_ = 0;   ///< of these, that go beside the kernel enqueued last
  int beside_ = 0;          ///< bytes of shared memory
  bool tells_ = false;      ///< the chain to be enqueued next tells those that go beside attention
  int turn_ = 0;            ///< which count of ends told was used last
};

}  // namespace kvg::kernels
