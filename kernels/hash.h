#pragma once

#include <cstdint>

namespace kvg::kernels {

/// One round of splitmix64: equal on every machine.
constexpr std::uint64_t mixed(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31U);
}

/// What a random selection ranks entries by.
struct RandomKey {
  std::uint64_t seed = 0;
  int layer = 0;
  int kv_head = 0;
  std::int32_t position = 0;
};

/// Uniform in [0, 1), the same on every device and for every batch row.
constexpr double random_score(const RandomKey& key) {
  std::uint64_t state = mixed(key.seed);
  state = mixed(state ^ static_cast<std::uint64_t>(key.layer));
  state = mixed(state ^ static_cast<std::uint64_t>(key.kv_head));
  state = mixed(state ^ static_cast<std::uint64_t>(key.position));
  return static_cast<double>(state >> 11U) * 0x1p-53;
}

/// +1 or -1 for each channel: the signs of Transform::kSignedHadamard.
constexpr float random_sign(int channel) {
  return (mixed(static_cast<std::uint64_t>(channel)) & 1U) == 0 ? 1.0F : -1.0F;
}

}  // namespace kvg::kernels
