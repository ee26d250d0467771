#include "kernels/core/memory.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/core/error.h"

namespace kvg {
namespace {

std::size_t index_of(MemoryClass memory_class) {
  return static_cast<std::size_t>(memory_class);
}

std::string refusal(std::size_t bytes, MemoryClass memory_class, const MemoryStats& stats) {
  return "out of memory: " + std::string(name_of(memory_class)) + " need " + std::to_string(bytes) +
         " bytes, " + std::to_string(stats.requested) + " bytes are held";
}

}  // namespace

std::string_view name_of(MemoryClass memory_class) {
  static constexpr std::array<std::string_view, kMemoryClassCount> kNames = {
      "weights", "kv", "activations", "workspace", "observations"};
  return kNames.at(index_of(memory_class));
}

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      class_(other.class_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  // The old allocation goes with `taken`, also when a buffer is moved onto itself.
  Buffer taken(std::move(other));
  std::swap(pool_, taken.pool_);
  std::swap(data_, taken.data_);
  std::swap(bytes_, taken.bytes_);
  std::swap(class_, taken.class_);
  return *this;
}

Buffer::~Buffer() {
  if (pool_ != nullptr) {
    pool_->release(data_, bytes_, class_);
  }
}

Buffer Pool::allocate(std::size_t bytes, MemoryClass memory_class) {
  if (bytes == 0) {
    return {};
  }
  const std::lock_guard lock(mutex_);
  if (limit_ != 0 && (stats_.requested > limit_ || bytes > limit_ - stats_.requested)) {
    throw OutOfMemory(refusal(bytes, memory_class, stats_) + " of " + std::to_string(limit_) +
                      " bytes allowed");
  }
  void* data = do_allocate(bytes);
  if (data == nullptr) {
    throw OutOfMemory(refusal(bytes, memory_class, stats_) + ", and the device has no room");
  }
  const std::size_t index = index_of(memory_class);
  stats_.current.at(index) += bytes;
  stats_.peak.at(index) = std::max(stats_.peak.at(index), stats_.current.at(index));
  stats_.requested += bytes;
  stats_.requested_peak = std::max(stats_.requested_peak, stats_.requested);
  return {this, data, bytes, memory_class};
}

void Pool::release(void* data, std::size_t bytes, MemoryClass memory_class) noexcept {
  const std::lock_guard lock(mutex_);
  do_release(data, bytes);
  stats_.current[index_of(memory_class)] -= bytes;
  stats_.requested -= bytes;
}

MemoryStats Pool::stats() const {
  const std::lock_guard lock(mutex_);
  MemoryStats result = stats_;
  const AllocatorPeaks peaks = do_peaks(stats_.requested_peak);
  result.used_peak = peaks.used;
  result.reserved_peak = peaks.reserved;
  return result;
}

void Pool::reset_peak() {
  const std::lock_guard lock(mutex_);
  do_reset_peaks();
  stats_.peak = stats_.current;
  stats_.requested_peak = stats_.requested;
}

void Pool::set_limit(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = bytes;
}

}  // namespace kvg
