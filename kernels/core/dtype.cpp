#include "kernels/core/dtype.h"

#include <bit>
#include <cstring>

#include "kernels/small_float.h"

namespace kvg {
namespace {

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
  return kernels::widened<kernels::kHalf>(bits);
}

float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t f32_to_f16(float value) {
  return static_cast<std::uint16_t>(kernels::narrowed<kernels::kHalf>(value));
}

std::uint16_t f32_to_bf16(float value) {
  return static_cast<std::uint16_t>(kernels::narrowed<kernels::kBrain>(value));
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
