#pragma once

#include <functional>
#include <memory>

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace kvg::kernels {

/// A stream of one device. Creating it makes that device the calling thread's.
class Stream {
 public:
  explicit Stream(int device);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] cudaStream_t get() const { return stream_; }

 private:
  int device_ = 0;
  cudaStream_t stream_ = nullptr;
};

/// Records what `step` enqueues on `stream`, ready to launch there. What `step` throws passes
/// through; the stream is usable again then.
[[nodiscard]] std::unique_ptr<Graph> capture_graph(int device,
                                                   cudaStream_t stream,
                                                   const std::function<void()>& step);

/// Seconds that the device takes for what `work` enqueues on `stream`. Waits for the end.
[[nodiscard]] double device_seconds(cudaStream_t stream, const std::function<void()>& work);

}  // namespace kvg::kernels
