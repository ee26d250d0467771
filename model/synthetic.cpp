#include <algorithm>
#include <cmath>
#include <limits>

#include "model/loader.h"

namespace kvg::model {
namespace {

// Values have magnitudes spread evenly over [kSmallest, kLargest]: variance 1, bounded, and none
// that a 16-bit type would round to zero.
constexpr float kSmallest = 0.1F;
constexpr float kLargest = 1.67988F;

std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

std::uint32_t mix32(std::uint32_t x) {
  x = (x ^ (x >> 16U)) * 0x7FEB352DU;
  x = (x ^ (x >> 15U)) * 0x846CA68BU;
  return x ^ (x >> 16U);
}

// One random bit becomes the sign, the others the magnitude.
float value_of(std::uint32_t bits) {
  constexpr float kStep = (kLargest - kSmallest) / 2147483648.0F;
  const float magnitude = kSmallest + kStep * static_cast<float>(bits >> 1U);
  return (bits & 1U) != 0 ? magnitude : -magnitude;
}

// value = center + scale * (a random value of variance 1)
struct Distribution {
  float center = 0.0F;
  float scale = 1.0F;
};

Distribution distribution_of(const WeightPart& part, const Config& config) {
  constexpr float kVectorScale = 0.05F;
  if (part.vector) {
    return {.center = part.bias ? 0.0F : 1.0F, .scale = kVectorScale};
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(part.columns)));
  const bool residual = part.role == WeightRole::kAttentionOut || part.role == WeightRole::kDown;
  const auto depth = static_cast<float>(std::sqrt(2.0 * config.layers));
  return {.center = 0.0F, .scale = residual ? scale / depth : scale};
}

// Elements [first, first + out.size()) of a part, each from the part's key and its own index.
void generate(std::span<float> out,
              std::uint64_t key,
              std::size_t first,
              const Distribution& distribution) {
  // One 32-bit key per block keeps the loop below in 32-bit lanes.
  constexpr std::size_t kBlock = 4096;
  std::size_t done = 0;
  while (done < out.size()) {
    const std::size_t index = first + done;
    const std::size_t begin = index % kBlock;
    const std::size_t count = std::min(kBlock - begin, out.size() - done);
    const auto block_key = static_cast<std::uint32_t>(mix64(key + index / kBlock));
    float* block = out.data() + done;
    for (std::size_t i = 0; i < count; ++i) {
      const auto lane = static_cast<std::uint32_t>(begin + i);
      block[i] = distribution.center +
                 distribution.scale * value_of(mix32(block_key + lane * 0x9E3779B9U));
    }
    done += count;
  }
}

// Random floats, rounded to the checkpoint's type, then to the part's.
struct Piece {
  std::uint64_t key = 0;
  std::size_t first = 0;
  std::size_t count = 0;
  Distribution distribution;
};

void generate_piece(std::byte* out, DType out_type, DType rounding, const Piece& piece) {
  std::vector<float> values(piece.count);
  generate(values, piece.key, piece.first, piece.distribution);
  if (rounding == DType::kF32 || rounding == out_type) {
    convert(out, out_type, values.data(), DType::kF32, piece.count);
    return;
  }
  std::vector<std::byte> rounded(piece.count * size_of(rounding));
  convert(rounded.data(), rounding, values.data(), DType::kF32, piece.count);
  convert(out, out_type, rounded.data(), rounding, piece.count);
}

// Fills `staging` with `all`, a piece a thread at a time.
void generate_parallel(std::byte* staging, const WeightPart& part, DType rounding, Piece all) {
  constexpr std::size_t kPiece = 65536;
  const auto pieces = static_cast<std::ptrdiff_t>((all.count + kPiece - 1) / kPiece);
#pragma omp parallel for schedule(dynamic)
  for (std::ptrdiff_t i = 0; i < pieces; ++i) {
    const std::size_t begin = static_cast<std::size_t>(i) * kPiece;
    Piece piece = all;
    piece.first += begin;
    piece.count = std::min(kPiece, all.count - begin);
    generate_piece(staging + begin * size_of(part.dtype), part.dtype, rounding, piece);
  }
}

}  // namespace

void fill_with_random(const FillJob& job, std::uint64_t seed) {
  std::vector<std::byte> staging(std::min(kStagingBytes, job.layout.total));
  std::uint64_t key = mix64(seed);
  for (const WeightPart& part : job.layout.parts) {
    key = mix64(key);
    const std::size_t at_once = staging.size() / size_of(part.dtype);
    for (std::size_t done = 0; done < part.count(); done += at_once) {
      const Piece piece{.key = key,
                        .first = done,
                        .count = std::min(at_once, part.count() - done),
                        .distribution = distribution_of(part, job.config)};
      // The upload before this one may still be reading the staging memory.
      job.backend.synchronize();
      generate_parallel(staging.data(), part, job.config.dtype, piece);
      const std::size_t begin = part.offset + done * size_of(part.dtype);
      job.backend.upload(
          job.storage.as<std::byte>(begin), staging.data(), piece.count * size_of(part.dtype));
      if (job.progress) {
        job.progress(begin + piece.count * size_of(part.dtype), job.layout.total);
      }
    }
  }
  job.backend.synchronize();
}

}  // namespace kvg::model
