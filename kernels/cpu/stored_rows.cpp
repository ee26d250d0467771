#include "kernels/cpu/stored_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/codec.h"
#include "kernels/cpu/matvec.h"
#include "kernels/cpu/vector.h"
#include "kernels/transform.h"

// Codes are unpacked to a byte each, then widened group by group: integers by arithmetic, which
// vectorises, floats and levels through tables of what each code reads as.

namespace kvg::kernels::cpu {
namespace {

// What codes of 8 bits and fewer read as before they are scaled.
class LevelTables {
 public:
  LevelTables() {
    fill(e4m3_, {.code = Code::kE4M3, .bits = 8});
    fill(e5m2_, {.code = Code::kE5M2, .bits = 8});
    fill(e2m1_, {.code = Code::kNvfp4, .bits = 4, .group = 16});
    fill(lloyd3_, {.code = Code::kLloyd, .bits = 3, .group = 16});
    fill(lloyd4_, {.code = Code::kLloyd, .bits = 4, .group = 16});
  }

  /// Null for integers.
  [[nodiscard]] const float* of(const Form& form) const {
    switch (form.code) {
      case Code::kE4M3:
        return e4m3_;
      case Code::kE5M2:
        return e5m2_;
      case Code::kNvfp4:
      case Code::kMxfp4:
        return e2m1_;
      case Code::kLloyd:
        return form.bits == 3 ? lloyd3_ : lloyd4_;
      default:
        return nullptr;
    }
  }

 private:
  template <std::size_t kCount>
  static void fill(float (&table)[kCount], const Form& form) {
    for (unsigned code = 0; code < kCount; ++code) {
      table[code] = decode(form, code, {});
    }
  }

  float e4m3_[256];
  float e5m2_[256];
  float e2m1_[16];
  float lloyd3_[8];
  float lloyd4_[16];
};

const float* table_of(const Form& form) {
  static const LevelTables tables;
  return tables.of(form);
}

// An integer code reads as (code - offset) * factor + zero; every step but the last is exact.
struct Affine {
  float offset = 0.0F;
  float factor = 1.0F;
};

KVG_INLINE Affine affine_of(const Form& form, float scale) {
  const auto half = static_cast<float>(1 << (form.bits - 1));
  switch (form.code) {
    case Code::kAsymmetric:
      return {.offset = 0.0F, .factor = scale};
    case Code::kAbsMax:
      return {.offset = half, .factor = scale / half};
    default:
      return {.offset = half, .factor = scale};
  }
}

// A byte for each code, in `bytes` unless they are bytes already.
KVG_INLINE const std::uint8_t* unpacked(int bits,
                                        const std::uint8_t* row,
                                        std::size_t channels,
                                        std::uint8_t* bytes) {
  switch (bits) {
    case 4:
      for (std::size_t i = 0; i < channels / 2; ++i) {
        bytes[2 * i] = row[i] & 15U;
        bytes[2 * i + 1] = row[i] >> 4U;
      }
      return bytes;
    case 2:
      for (std::size_t i = 0; i < channels / 4; ++i) {
        for (std::size_t k = 0; k < 4; ++k) {
          bytes[4 * i + k] = (row[i] >> (2 * k)) & 3U;
        }
      }
      return bytes;
    case 3:
      for (std::size_t i = 0; i < channels / 8; ++i) {
        const std::uint32_t word = static_cast<std::uint32_t>(row[3 * i]) |
                                   static_cast<std::uint32_t>(row[3 * i + 1]) << 8U |
                                   static_cast<std::uint32_t>(row[3 * i + 2]) << 16U;
        for (std::size_t k = 0; k < 8; ++k) {
          bytes[8 * i + k] = (word >> (3 * k)) & 7U;
        }
      }
      return bytes;
    default:
      return row;
  }
}

KVG_INLINE void widen_codes(
    float* out, const std::uint8_t* codes, std::size_t count, const Affine& affine, float zero) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = (static_cast<float>(codes[i]) - affine.offset) * affine.factor + zero;
  }
}

struct PackedRow {
  float* out = nullptr;
  const std::uint8_t* codes = nullptr;
  const std::byte* scales = nullptr;
  std::size_t channels = 0;
  std::uint8_t* bytes = nullptr;  ///< scratch [channels]
  const float* table = nullptr;
};

// A row with groups along its channels.
KVG_CLONES void widen_row(const Form& form, const PackedRow& row) {
  const std::uint8_t* codes = unpacked(form.bits, row.codes, row.channels, row.bytes);
  const std::size_t group = form.group == 0 ? row.channels : static_cast<std::size_t>(form.group);
  for (std::size_t first = 0; first < row.channels; first += group) {
    const GroupScale scale = read_scale(form, row.scales, static_cast<int>(first / group));
    if (row.table == nullptr) {
      widen_codes(row.out + first, codes + first, group, affine_of(form, scale.scale), scale.zero);
    } else {
      for (std::size_t i = first; i < first + group; ++i) {
        row.out[i] = row.table[codes[i]] * scale.scale;
      }
    }
  }
}

// Scales of a group of slots, one for each channel.
struct ChannelScales {
  float* factors = nullptr;  ///< [channels]
  float* zeros = nullptr;    ///< [channels]
  std::int64_t group = -1;   ///< whose they are
};

void read_channel_scales(const Form& form,
                         const std::byte* scales,
                         int channels,
                         ChannelScales& to) {
  for (int c = 0; c < channels; ++c) {
    const GroupScale scale = read_scale(form, scales, c);
    to.factors[c] = scale.scale;
    to.zeros[c] = scale.zero;
  }
}

// A row of kAsymmetric codes with groups along the slots.
KVG_CLONES void widen_channels(int bits, const PackedRow& row, const ChannelScales& scales) {
  const std::uint8_t* codes = unpacked(bits, row.codes, row.channels, row.bytes);
  for (std::size_t i = 0; i < row.channels; ++i) {
    row.out[i] = static_cast<float>(codes[i]) * scales.factors[i] + scales.zeros[i];
  }
}

// Reads one head's packed rows, [channels] each.
class RowReader {
 public:
  RowReader(const StoredHead& head, float* scratch)
      : head_(head),
        form_(head.side->form),
        channels_(static_cast<std::size_t>(head.side->channels)),
        table_(table_of(form_)),
        bytes_(reinterpret_cast<std::uint8_t*>(scratch)) {
    scales_.factors = scratch + head.head_dim;
    scales_.zeros = scales_.factors + head.head_dim;
  }

  void read(std::int64_t slot, float* out) {
    if (is_native(form_)) {
      widen(out, head_.codes(slot), dtype_of(form_), channels_);
      return;
    }
    const PackedRow row = {.out = out,
                           .codes = reinterpret_cast<const std::uint8_t*>(head_.codes(slot)),
                           .scales = form_.group == 0 ? nullptr : head_.scales(slot),
                           .channels = channels_,
                           .bytes = bytes_,
                           .table = table_};
    if (!form_.per_channel) {
      widen_row(form_, row);
      return;
    }
    const std::int64_t group = slot / form_.group;
    if (group != scales_.group) {
      scales_.group = group;
      read_channel_scales(form_, row.scales, head_.side->channels, scales_);
    }
    widen_channels(form_.bits, row, scales_);
  }

 private:
  const StoredHead& head_;
  const Form& form_;
  std::size_t channels_;
  const float* table_;
  std::uint8_t* bytes_;
  ChannelScales scales_;
};

}  // namespace

void read_rows(const ReadRowsArgs& args) {
  const StoredHead& head = args.head;
  const auto head_dim = static_cast<std::size_t>(head.head_dim);
  const std::int16_t* kept = head.kept_channels();
  float* row = args.scratch + 3 * head_dim;
  RowReader reader(head, args.scratch);
  for (std::size_t i = 0; i < args.count; ++i) {
    float* out = args.out + i * head_dim;
    const std::int32_t entry = args.entries[i];
    if (entry >= head.packed) {
      std::memcpy(out, head.waiting(entry), head_dim * sizeof(float));
      turn_entry(head.side->form.transform, out, head.head_dim);
    } else if (kept == nullptr) {
      reader.read(entry, out);
    } else {
      reader.read(entry, row);
      std::fill(out, out + head_dim, 0.0F);
      for (int c = 0; c < head.side->channels; ++c) {
        out[kept[c]] = row[c];
      }
    }
  }
}

}  // namespace kvg::kernels::cpu
