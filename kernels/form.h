#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cursor.h"

namespace kvg::kernels {

/// What the code of one element is, how it is chosen and what it means. `s` is the group's scale
/// and `z` its zero as they are stored; roundings are to nearest, ties to even unless said.
enum class Code : std::uint8_t {
  kF32,
  kF16,
  kBF16,  ///< the element itself
  kE4M3,  ///< 8-bit float, saturating at 448; without a group: no scale, else s = f16(max |x| /
          ///< 448)
  kE5M2,  ///< 8-bit float, saturating at 57344; likewise
  kSymmetric,   ///< s = f16(max |x| / m), m = 2^(bits-1) - 1; q = round(x / s) in [-m, m], stored q
                ///< + m + 1; reads q s
  kAsymmetric,  ///< z = f16(min), s = f16((max - min) / m), m = 2^bits - 1; q = round((x - z) / s)
                ///< in [0, m]; reads q s + z
  kAbsMax,  ///< exllamav2: s = f16(max |x|), h = 2^(bits-1); q = round(x / s h + h) in [0, 2h - 1];
            ///< reads (q - h) s / h
  kBlock8,  ///< llama.cpp q8_0: d = max |x| / 127, q = round_half_away(x / d); s = f16(d), stored q
            ///< + 128; reads q s
  kBlock4,  ///< llama.cpp q4_0: d = (the x of largest |x|) / -8, q = min(15, trunc(x / d + 8.5));
            ///< s = f16(d); reads (q - 8) s
  kNvfp4,   ///< E2M1 codes, s = E4M3(max |x| / 6) of 8 bits
  kMxfp4,   ///< E2M1 codes, s = 2^(floor(log2 max |x|) - 2) of 8 bits (E8M0)
  kLloyd  ///< Lloyd-Max levels of N(0, 1), 3 or 4 bits: x is scaled to mean square 1, q the nearest
          ///< level; s = f16(|x| / |levels|), so that the norm is kept; reads level(q) s
};

/// What is done to a head's vector before its elements are coded. Reading undoes it; attention
/// turns the query or its output instead.
enum class Transform : std::uint8_t {
  kNone,
  kHadamard,        ///< orthonormal Walsh-Hadamard over head_dim (a power of two)
  kSignedHadamard,  ///< random signs (random_sign()), then kHadamard
  kEvenOdd  ///< exllamav2: in every span of 64, the even and the odd channels each through an
            ///< unnormalised 32-point Walsh-Hadamard
};

/// In what form keys or values are stored.
struct Form {
  Code code = Code::kF32;
  int bits = 32;  ///< of a code: 2, 3, 4, 8, 16 or 32
  int group = 0;  ///< elements that share a scale; 0: no scale
  Transform transform = Transform::kNone;
  /// Groups run along `group` consecutive slots of one channel instead of along the channels of one
  /// slot (KIVI's keys).
  bool per_channel = false;

  friend constexpr bool operator==(const Form&, const Form&) = default;
};

[[nodiscard]] constexpr bool is_native(const Form& form) {
  return form.code == Code::kF32 || form.code == Code::kF16 || form.code == Code::kBF16;
}

[[nodiscard]] constexpr Form native_form(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return {.code = Code::kF16, .bits = 16};
    case DType::kBF16:
      return {.code = Code::kBF16, .bits = 16};
    case DType::kF32:
      break;
  }
  return {};
}

/// Bytes of one group's scale (and zero).
[[nodiscard]] constexpr std::size_t scale_bytes(const Form& form) {
  if (form.group == 0) {
    return 0;
  }
  switch (form.code) {
    case Code::kAsymmetric:
      return 4;  // f16 scale, f16 zero
    case Code::kNvfp4:
    case Code::kMxfp4:
      return 1;
    default:
      return 2;  // f16
  }
}

/// Bytes of the codes of one slot of `channels` stored channels: channel 0 in the lowest bits of
/// the first byte, codes of 3 bits running on across bytes.
[[nodiscard]] constexpr std::size_t code_row_bytes(const Form& form, int channels) {
  return static_cast<std::size_t>(channels) * static_cast<std::size_t>(form.bits) / 8;
}

/// Bytes of the scales of one slot; of one group of slots when per_channel.
[[nodiscard]] constexpr std::size_t scale_row_bytes(const Form& form, int channels) {
  if (form.group == 0) {
    return 0;
  }
  return form.per_channel ? static_cast<std::size_t>(channels) * scale_bytes(form)
                          : static_cast<std::size_t>(channels / form.group) * scale_bytes(form);
}

/// The keys or the values of one layer as they are stored.
///
/// Slot s of kv_head g of batch row b is row r = b * StoredView::slots + heads[b, g].start + s of
/// `codes` and `scales` (per_channel: row r / group of `scales`; starts are multiples of it).
/// Entry e of a head that is not packed yet (e >= HeadCursor::packed_*) waits, unquantised, in row
/// (b * kv_heads + g) * waiting_slots + e % waiting_slots of `waiting`.
struct StoredSide {
  Form form;
  void* codes = nullptr;    ///< [batch x slots, code_row_bytes(form, channels)]
  void* scales = nullptr;   ///< [batch x slots (/ group), scale_row_bytes(form, channels)]
  void* waiting = nullptr;  ///< [batch, kv_heads, waiting_slots, head_dim], compute dtype; or null
  std::int32_t waiting_slots = 0;
  int channels = 0;  ///< channels stored of each slot: head_dim, or fewer when pruned
  /// Pruned keys (ThinK): which channels of a head are stored, ascending, [batch, kv_heads,
  /// channels]; null: all of them. Waiting entries have all channels.
  const std::int16_t* kept_channels = nullptr;
  /// Rows of `codes` that each head has for itself, when fewer of its entries are ever packed than
  /// it has slots: slot s of (b, g) is row (b * kv_heads + g) * head_rows + s. 0: rows are the
  /// view's.
  std::int32_t head_rows = 0;
};

/// One layer of a cache.
struct StoredView {
  StoredSide keys{};
  StoredSide values{};
  HeadCursor* heads = nullptr;  ///< [batch, kv_heads]
  std::int64_t slots = 0;       ///< of one batch row, all its kv_heads together
  std::int64_t capacity = 0;    ///< most slots of one head; bounds HeadCursor::entries
};

/// Row of a side's codes that slot 0 of a head has; `index` is b * kv_heads + g.
[[nodiscard]] constexpr std::int64_t first_row(const StoredView& view,
                                               const StoredSide& side,
                                               int kv_heads,
                                               std::int64_t index) {
  return side.head_rows > 0 ? index * side.head_rows
                            : index / kv_heads * view.slots + view.heads[index].start;
}

}  // namespace kvg::kernels
