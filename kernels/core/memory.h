#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>

namespace kvg {

/// What an allocation is for. Every byte of a pool carries one of these tags.
enum class MemoryClass : std::uint8_t { kWeights, kKv, kActivations, kWorkspace, kObservations };

inline constexpr std::size_t kMemoryClassCount = 5;

/// "weights", "kv", "activations", "workspace", "observations".
[[nodiscard]] std::string_view name_of(MemoryClass memory_class);

/// Bytes in use and their high-water marks since the last Pool::reset_peak().
struct MemoryStats {
  std::array<std::size_t, kMemoryClassCount> current{};  ///< as asked for, by class
  std::array<std::size_t, kMemoryClassCount> peak{};     ///< each class's own high-water mark
  std::size_t requested = 0;                             ///< sum of `current`
  std::size_t requested_peak = 0;                        ///< high-water mark of the sum
  std::size_t used_peak = 0;      ///< as the allocator counts, rounding included
  std::size_t reserved_peak = 0;  ///< physical memory behind the pool

  [[nodiscard]] std::size_t of(MemoryClass memory_class) const {
    return current[static_cast<std::size_t>(memory_class)];
  }
  [[nodiscard]] std::size_t peak_of(MemoryClass memory_class) const {
    return peak[static_cast<std::size_t>(memory_class)];
  }
};

class Pool;

/// Owns one allocation of a pool; gives it back when destroyed. The pool outlives its buffers.
/// Contents start uninitialised. The address is aligned to 256 bytes.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] void* data() const { return data_; }

  /// The address `offset` bytes into the allocation, as a T*.
  template <typename T>
  [[nodiscard]] T* as(std::size_t offset = 0) const {
    return static_cast<T*>(static_cast<void*>(static_cast<std::byte*>(data_) + offset));
  }

 private:
  friend class Pool;
  Buffer(Pool* pool, void* data, std::size_t bytes, MemoryClass memory_class)
      : pool_(pool), data_(data), bytes_(bytes), class_(memory_class) {}

  Pool* pool_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  MemoryClass class_ = MemoryClass::kWorkspace;
};

/// The one source of a device's memory: every allocation is tagged, counted and bounded.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  virtual ~Pool() = default;

  /// Throws OutOfMemory, naming the class, the bytes asked for, held and allowed. Zero bytes give
  /// an empty buffer.
  [[nodiscard]] Buffer allocate(std::size_t bytes, MemoryClass memory_class);

  /// Reads the counters and the allocator's own figures; waits for nothing.
  [[nodiscard]] MemoryStats stats() const;

  /// Every peak becomes what is held now. Waits for the device and hands back what is kept free.
  void reset_peak();

  /// Refuses allocations that would bring the sum above `bytes`; 0 removes the limit.
  void set_limit(std::size_t bytes);

 protected:
  struct AllocatorPeaks {
    std::size_t used = 0;
    std::size_t reserved = 0;
  };

 private:
  friend class Buffer;

  virtual void* do_allocate(std::size_t bytes) = 0;  ///< null when there is no room
  virtual void do_release(void* data, std::size_t bytes) noexcept = 0;
  virtual AllocatorPeaks do_peaks(std::size_t requested_peak) const = 0;
  virtual void do_reset_peaks() = 0;

  void release(void* data, std::size_t bytes, MemoryClass memory_class) noexcept;

  mutable std::mutex mutex_;
  MemoryStats stats_;
  std::size_t limit_ = 0;
};

}  // namespace kvg
