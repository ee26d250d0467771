#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kvg {

/// The element types of weights, activations and native caches.
enum class DType : std::uint8_t { kF32, kF16, kBF16 };

[[nodiscard]] std::size_t size_of(DType dtype);

/// "f32", "f16" or "bf16".
[[nodiscard]] std::string_view name_of(DType dtype);

[[nodiscard]] float f16_to_f32(std::uint16_t bits);
[[nodiscard]] float bf16_to_f32(std::uint16_t bits);

/// Round to nearest, ties to even. Overflow gives infinity, a NaN stays a NaN.
[[nodiscard]] std::uint16_t f32_to_f16(float value);
[[nodiscard]] std::uint16_t f32_to_bf16(float value);

/// Copies `count` elements from one type to another (widening is exact, narrowing rounds to nearest
/// even). The ranges do not overlap; neither needs any alignment.
void convert(void* out, DType out_type, const void* in, DType in_type, std::size_t count);

}  // namespace kvg
