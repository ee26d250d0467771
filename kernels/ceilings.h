#pragma once

#include <cstddef>
#include <optional>

namespace kvg::kernels {

/// What a device reaches while it does one thing alone. Empty: it has no such thing, or there was
/// no room to measure it.
struct Ceilings {
  std::optional<double> read_gbps{};    ///< 1e9 bytes read a second
  std::optional<double> copy_gbps{};    ///< likewise, what is read and what is written both counted
  std::optional<double> gemm_tflops{};  ///< 1e12 operations a second of a large product in the
                                        ///< compute dtype, random data
  std::optional<double> kernel_us{};    ///< microseconds of an empty operation among many
  std::optional<double> h2d_gbps{};     ///< from pinned memory of the host
};

/// What to measure them with.
struct CeilingSizes {
  std::size_t working_set = 0;  ///< bytes that a run reads over and over
  std::size_t room = 0;         ///< bytes that may be taken from the pool meanwhile
};

}  // namespace kvg::kernels
