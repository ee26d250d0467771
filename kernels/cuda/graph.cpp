#include "kernels/cuda/graph.cuh"

#include "kernels/cuda/check.cuh"

namespace kvg::kernels {
namespace {

class CudaGraph final : public Graph {
 public:
  CudaGraph(int device, cudaStream_t stream, cudaGraph_t recorded)
      : device_(device), stream_(stream) {
    KVG_CUDA_CHECK(cudaGraphInstantiate(&graph_, recorded, 0));
    KVG_CUDA_CHECK(cudaGraphUpload(graph_, stream_));
    KVG_CUDA_CHECK(cudaGraphGetNodes(recorded, nullptr, &kernels_));
  }
  ~CudaGraph() override {
    ignore_cuda(cudaSetDevice(device_));
    if (graph_ != nullptr) {
      ignore_cuda(cudaGraphExecDestroy(graph_));
    }
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void launch() override {
    KVG_CUDA_CHECK(cudaSetDevice(device_));
    KVG_CUDA_CHECK(cudaGraphLaunch(graph_, stream_));
  }
  [[nodiscard]] std::size_t kernels() const override { return kernels_; }

 private:
  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
  std::size_t kernels_ = 0;
};

struct RecordedDeleter {
  void operator()(cudaGraph_t graph) const { ignore_cuda(cudaGraphDestroy(graph)); }
};
using Recorded = std::unique_ptr<CUgraph_st, RecordedDeleter>;

Recorded end_capture(cudaStream_t stream, cudaError_t& status) {
  cudaGraph_t graph = nullptr;
  status = cudaStreamEndCapture(stream, &graph);
  return Recorded(graph);
}

class Event {
 public:
  Event() { KVG_CUDA_CHECK(cudaEventCreate(&event_)); }
  ~Event() { ignore_cuda(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  [[nodiscard]] cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

Stream::Stream(int device) : device_(device) {
  KVG_CUDA_CHECK(cudaSetDevice(device));
  KVG_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

Stream::~Stream() {
  ignore_cuda(cudaSetDevice(device_));
  ignore_cuda(cudaStreamDestroy(stream_));
}

double device_seconds(cudaStream_t stream, const std::function<void()>& work) {
  const Event begin;
  const Event end;
  KVG_CUDA_CHECK(cudaEventRecord(begin.get(), stream));
  work();
  KVG_CUDA_CHECK(cudaEventRecord(end.get(), stream));
  KVG_CUDA_CHECK(cudaEventSynchronize(end.get()));
  float milliseconds = 0.0F;
  KVG_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
  return static_cast<double>(milliseconds) / 1e3;
}

std::unique_ptr<Graph> capture_graph(int device,
                                     cudaStream_t stream,
                                     const std::function<void()>& step) {
  KVG_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  cudaError_t status = cudaSuccess;
  try {
    step();
  } catch (...) {
    end_capture(stream, status);
    ignore_cuda(status);
    throw;
  }
  const Recorded recorded = end_capture(stream, status);
  KVG_CUDA_CHECK(status);
  return std::make_unique<CudaGraph>(device, stream, recorded.get());
}

}  // namespace kvg::kernels
