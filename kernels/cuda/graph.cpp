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

 private:
  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
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

}  // namespace

Stream::Stream(int device) : device_(device) {
  KVG_CUDA_CHECK(cudaSetDevice(device));
  KVG_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

Stream::~Stream() {
  ignore_cuda(cudaSetDevice(device_));
  ignore_cuda(cudaStreamDestroy(stream_));
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
