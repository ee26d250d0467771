#include "kernels/core/dtype.h"

#include <bit>
#include <cstring>

namespace kvg {
namespace {

constexpr std::uint32_t kF32SignMask = 0x80000000U;
constexpr std::uint32_t kF32Infinity = 0x7f800000U;

// Both 16-bit types are read and written as raw bits through memcpy, which needs no alignment.
template <typename T>
T load(const void* data, std::size_t index) {
  T value{};
  std::memcpy(&value, static_cast<const std::byte*>(data) + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void store(void* data, std::size_t index, T value) {
  std::memcpy(static_cast<std::byte*>(data) + index * sizeof(T), &value, sizeof(T));
}

template <DType kType>
float widen(const void* data, std::size_t index) {
  if constexpr (kType == DType::kF16) {
    return f16_to_f32(load<std::uint16_t>(data, index));
  } else if constexpr (kType == DType::kBF16) {
    return bf16_to_f32(load<std::uint16_t>(data, index));
  } else {
    return load<float>(data, index);
  }
}

template <DType kTo, DType kFrom>
void convert_all(void* out, const void* in, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float value = widen<kFrom>(in, i);
    if constexpr (kTo == DType::kF16) {
      store(out, i, f32_to_f16(value));
    } else if constexpr (kTo == DType::kBF16) {
      store(out, i, f32_to_bf16(value));
    } else {
      store(out, i, value);
    }
  }
}

template <DType kTo>
void convert_to(void* out, const void* in, DType in_type, std::size_t count) {
  switch (in_type) {
    case DType::kF32:
      convert_all<kTo, DType::kF32>(out, in, count);
      break;
    case DType::kF16:
      convert_all<kTo, DType::kF16>(out, in, count);
      break;
    case DType::kBF16:
      convert_all<kTo, DType::kBF16>(out, in, count);
      break;
  }
}

// Adds what rounds the lowest `drop` bits to nearest, ties to even, and drops them.
std::uint32_t round_off(std::uint32_t bits, int drop) {
  const std::uint32_t half = 1U << (drop - 1);
  const std::uint32_t odd = (bits >> drop) & 1U;
  return (bits + half - 1U + odd) >> drop;
}

}  // namespace

std::size_t size_of(DType dtype) {
  return dtype == DType::kF32 ? 4 : 2;
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kF32:
      break;
  }
  return "f32";
}

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7fffU) << 13;
  if (magnitude >= 0x0f800000U) {  // infinity or NaN
    return std::bit_cast<float>(sign | kF32Infinity | magnitude);
  }
  // The exponent's bias differs by 112; the product is exact, subnormals included.
  const float value = std::bit_cast<float>(magnitude) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits & kF32SignMask) >> 16;
  const std::uint32_t magnitude = bits & ~kF32SignMask;
  if (magnitude > kF32Infinity) {
    const std::uint32_t payload = (magnitude >> 13) & 0x1ffU;
    return static_cast<std::uint16_t>(sign | 0x7e00U | payload);
  }
  if (magnitude >= 0x47800000U) {  // 65536 and above
    return static_cast<std::uint16_t>(sign | 0x7c00U);
  }
  if (magnitude < 0x38800000U) {  // below the smallest normal, 2^-14
    // Adding 0.5 puts the unit of the sum at 2^-24, that of an f16 subnormal: the addition rounds.
    const float sum = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(
        sign | (std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5F)));
  }
  // Rounding up may carry into the exponent and give infinity, which is what is wanted.
  return static_cast<std::uint16_t>(sign | round_off(magnitude - 0x38000000U, 13));
}

std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & ~kF32SignMask) > kF32Infinity) {
    return static_cast<std::uint16_t>((bits >> 16) | 0x0040U);  // quiet, so never an infinity
  }
  return static_cast<std::uint16_t>(round_off(bits, 16));
}

void convert(void* out, DType out_type, const void* in, DType in_type, std::size_t count) {
  if (count == 0) {
    return;
  }
  if (out_type == in_type) {
    std::memcpy(out, in, count * size_of(in_type));
    return;
  }
  switch (out_type) {
    case DType::kF32:
      convert_to<DType::kF32>(out, in, in_type, count);
      break;
    case DType::kF16:
      convert_to<DType::kF16>(out, in, in_type, count);
      break;
    case DType::kBF16:
      convert_to<DType::kBF16>(out, in, in_type, count);
      break;
  }
}

}  // namespace kvg
