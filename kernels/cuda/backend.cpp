#include "kernels/backend.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "kernels/core/error.h"
#include "kernels/cuda/ceilings.cuh"
#include "kernels/cuda/check.cuh"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/graph.cuh"
#include "kernels/cuda/nvml.h"
#include "kernels/cuda/ops.cuh"
#include "kernels/cuda/pool.cuh"
#include "kernels/cuda/prefill_attention_wgmma.cuh"
#include "kernels/cuda/projection_chain.cuh"
#include "kernels/cuda/projection_rows.cuh"
#include "kernels/cuda/scoring.cuh"
#include "kernels/cuda/workspace.cuh"

namespace kvg::kernels {
namespace {

constexpr int kOverlapMajor = 9;
int attribute_of(int device, cudaDeviceAttr attribute) {
  int value = 0;
  KVG_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

std::string pci_bus_id(int device) {
  std::array<char, 32> text{};
  KVG_CUDA_CHECK(cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), device));
  return text.data();
}

Target make_target(int device, cudaStream_t stream) {
  const int major = attribute_of(device, cudaDevAttrComputeCapabilityMajor);
  const int minor = attribute_of(device, cudaDevAttrComputeCapabilityMinor);
  return {.stream = stream,
          .multiprocessors = attribute_of(device, cudaDevAttrMultiProcessorCount),
          .shared_bytes = attribute_of(device, cudaDevAttrMaxSharedMemoryPerBlockOptin),
          .overlaps = major >= kOverlapMajor,
          .wgmma = wgmma::is_built_for(major, minor)};
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(const DeviceInfo& device, const BackendOptions& options)
      : info_(device),
        compute_(options.compute),
        stream_(device.index),
        target_(make_target(device.index, stream_.get())),
        nvml_(pci_bus_id(device.index)),
        pool_(device.index, stream_.get()),
        host_pool_(stream_.get()),
        scoring_(target_, compute_) {
    pool_.set_limit(options.memory_limit);
  }

  // What was enqueued may still use the memory and plans that go next.
  ~CudaBackend() override {
    ignore_cuda(cudaSetDevice(info_.index));
    ignore_cuda(cudaStreamSynchronize(stream_.get()));
  }
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  [[nodiscard]] const DeviceInfo& device() const override { return info_; }
  [[nodiscard]] DType compute_dtype() const override { return compute_; }
  [[nodiscard]] Pool& pool() override { return pool_; }
  [[nodiscard]] Pool& host_pool() override { return host_pool_; }
  [[nodiscard]] std::size_t process_bytes() const override {
    return nvml_.process_bytes().value_or(0);
  }

  [[nodiscard]] std::size_t workspace_bytes(const WorkspaceShape& shape) const override {
    return lay_out_workspace(target_, compute_, shape).total;
  }

  [[nodiscard]] std::unique_ptr<Workspace> make_workspace(const WorkspaceShape& shape) override {
    proceed();
    const WorkspacePlan plan = lay_out_workspace(target_, compute_, shape);
    auto workspace = std::make_unique<CudaWorkspace>(pool_, plan, shape, workspace_);
    workspace->prepare(target_.stream);
    return workspace;
  }

  void use_workspace(Workspace& workspace) override {
    proceed();
    workspace_ = &dynamic_cast<CudaWorkspace&>(workspace);
  }

  void upload(void* device, const void* host, std::size_t bytes) override {
    proceed();
    KVG_CUDA_CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, target_.stream));
    // Pinned memory is read later than the call returns, and the caller may change it then.
    KVG_CUDA_CHECK(cudaStreamSynchronize(target_.stream));
  }

  void download(void* host, const void* device, std::size_t bytes) override {
    proceed();
    KVG_CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, target_.stream));
    KVG_CUDA_CHECK(cudaStreamSynchronize(target_.stream));
  }

  void synchronize() override {
    proceed();
    KVG_CUDA_CHECK(cudaStreamSynchronize(target_.stream));
  }

  void embed(const EmbedArgs& args) override {
    if (args.rows > 0) {
      proceed();
      embed_tokens(target_, args);
    }
  }

  void project_qkv(const QkvArgs& args) override;
  void attend(const AttendArgs& args) override;
  void prefill_attend(const PrefillAttendArgs& args) override;
  void project(const ProjectArgs& args) override;
  void add_project(const AddProjectArgs& args) override;

  void append(const AppendArgs& args) override {
    check(args.from.dtype, "entries");
    proceed();
    append_entry(target_, args);
  }

  void store(const StoreArgs& args) override {
    check(args.from.dtype, "entries");
    proceed();
    store_entries(target_, compute_, args);
  }

  void settle(const SettleArgs& args) override {
    proceed();
    settle_entries(target_, compute_, args);
  }

  void score(const ScoreArgs& args) override {
    if (args.rows > 0) {
      proceed();
      score_rows(target_, args);
    }
  }

  void compare(const CompareArgs& args) override {
    if (args.rows > 0) {
      proceed();
      compare_rows(target_, args);
    }
  }

  void advance(const AdvanceArgs& args) override {
    proceed();
    advance_cursors(target_, args);
  }

  [[nodiscard]] Scoring& scoring() override {
    proceed();
    const bool works = workspace_ != nullptr;
    scoring_.set_scratch(works ? workspace_->at(workspace_->plan().scoring) : nullptr,
                         works ? workspace_->shape() : WorkspaceShape());
    return scoring_;
  }

  [[nodiscard]] std::unique_ptr<Graph> capture(const std::function<void()>& step) override {
    proceed();
    return capture_graph(info_.index, target_.stream, [&] {
      step();
      chain_.flush();
    });
  }

  [[nodiscard]] double time(const std::function<void()>& work) override {
    proceed();
    return device_seconds(target_.stream, [&] {
      work();
      chain_.flush();
    });
  }

  [[nodiscard]] Ceilings measure_ceilings(const CeilingSizes& sizes) override {
    proceed();
    return measure_cuda_ceilings({.device = info_.index, .target = target_, .compute = compute_},
                                 {pool_, host_pool_},
                                 sizes);
  }

 private:
  void select() const { KVG_CUDA_CHECK(cudaSetDevice(info_.index)); }
  // For whatever comes after projections: they are enqueued first.
  void proceed() {
    select();
    chain_.flush();
  }
  void check(DType dtype, std::string_view what) const;

  DeviceInfo info_;
  DType compute_;
  Stream stream_;
  Target target_;
  Nvml nvml_;
  DevicePool pool_;
  PinnedPool host_pool_;
  CudaWorkspace* workspace_ = nullptr;  ///< in use
  ProjectionChain chain_{target_, compute_, workspace_};
  ProjectionRows rows_{target_, compute_, workspace_};
  CudaScoring scoring_;
};

void CudaBackend::check(DType dtype, std::string_view what) const {
  if (dtype != compute_) {
    throw InvalidArgument(std::string(what) + " on CUDA have the compute dtype " +
                          std::string(name_of(compute_)) + ", not " + std::string(name_of(dtype)));
  }
}

void CudaBackend::project_qkv(const QkvArgs& args) {
  check(args.linear.dtype, "weights");
  check(args.kv.dtype, "entries");
  KVG_EXPECT(args.heads == nullptr || args.cursor != nullptr, "only a step has head cursors");
  KVG_EXPECT(args.cursor == nullptr || args.tokens == 1, "a step feeds one token a row");
  KVG_EXPECT(args.shape.head_dim % 2 == 0 && args.rope.rotary_dim % 2 == 0,
             "RoPE turns pairs of channels");
  const int rows = args.batch * args.tokens;
  if (rows == 0) {
    return;
  }
  select();
  const bool plain_heads = args.query_norm == nullptr && args.key_norm == nullptr;
  const bool decodes = fits_decode(target_, compute_, rows, args.linear.in);
  if (decodes && plain_heads) {
    chain_.add(args);
    return;
  }
  void* heads = reserved(workspace_,
                         &WorkspacePlan::product,
                         static_cast<std::size_t>(rows) *
                             static_cast<std::size_t>(args.linear.out) * size_of(compute_));
  if (decodes) {
    Linear linear = args.linear;
    linear.bias = nullptr;
    chain_.add(ProjectArgs{.out = heads,
                           .out_dtype = compute_,
                           .in = args.in,
                           .norm = args.norm,
                           .linear = linear,
                           .activation = Activation::kNone,
                           .rows = rows});
  } else {
    proceed();
    rows_.multiply_qkv(args, heads);
  }
  proceed();
  place_qkv(target_, compute_, args, heads);
}

void CudaBackend::attend(const AttendArgs& args) {
  KVG_EXPECT(args.shape.kv_heads > 0 && args.shape.heads % args.shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
  select();
  const bool accompanied = chain_.flush_before(args);
  const auto partials = reserved(workspace_,
                                 &WorkspacePlan::partials,
                                 attend_partial_bytes(args.shape, args.batch, args.kv.capacity));
  const int taken =
      decode_attend(target_, compute_, args, static_cast<float*>(partials), accompanied);
  chain_.start_beside(taken);
}

void CudaBackend::prefill_attend(const PrefillAttendArgs& args) {
  check(args.kv.dtype, "entries");
  KVG_EXPECT(args.shape.kv_heads > 0 && args.shape.heads % args.shape.kv_heads == 0,
             "query heads are a multiple of kv_heads");
  if (args.tokens == 0 || args.batch == 0) {
    return;
  }
  proceed();
  if (compute_ == DType::kF32) {
    plain_prefill_attend(target_, args);
  } else if (wgmma::fits(target_, args)) {
    wgmma::prefill_attend(target_, args);
  } else {
    flash_prefill_attend(target_, args);
  }
}

void CudaBackend::project(const ProjectArgs& args) {
  check(args.linear.dtype, "weights");
  KVG_EXPECT(args.out_dtype == compute_ || args.out_dtype == DType::kF32,
             "a projection yields the compute dtype or f32");
  if (args.rows == 0) {
    return;
  }
  select();
  if (fits_decode(target_, compute_, args.rows, args.linear.in)) {
    chain_.add(args);
    return;
  }
  proceed();
  rows_.project(args);
}

void CudaBackend::add_project(const AddProjectArgs& args) {
  check(args.linear.dtype, "weights");
  if (args.rows == 0) {
    return;
  }
  select();
  if (fits_decode(target_, compute_, args.rows, args.linear.in)) {
    chain_.add(args);
    return;
  }
  proceed();
  rows_.add_project(args);
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const DeviceInfo& device,
                                           const BackendOptions& options) {
  return std::make_unique<CudaBackend>(device, options);
}

}  // namespace kvg::kernels
