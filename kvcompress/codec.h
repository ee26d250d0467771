#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/form.h"
#include "kvcompress/spec.h"

namespace kvg::kvcompress {

enum class Side { kKeys, kValues };

/// In what form the keys or the values of a cache are stored.
struct SideCodec {
  kernels::Form form{};
  bool native = false;       ///< the compute dtype, whatever it is; `form` is not read
  bool head_wide = false;    ///< the group is a whole head: form.group becomes head_dim
  std::int32_t waiting = 0;  ///< newest entries held unquantised; the side's waiting slots
  std::int32_t recent = 0;   ///< pruned keys: newest entries of a prompt that keep all channels
  double pruned = 0.0;       ///< share of a key's channels that is dropped
  std::int32_t window = 0;   ///< pruned keys: queries that choose the channels

  friend bool operator==(const SideCodec&, const SideCodec&) = default;
};

/// The two sides together.
struct Codec {
  std::string canonical;  ///< "int4:group=32", "k=int8,v=int4"; empty: native
  SideCodec keys{.native = true};
  SideCodec values{.native = true};

  /// Entries that wait must come in order and never leave.
  [[nodiscard]] bool append_only() const {
    return keys.waiting > 0 || values.waiting > 0 || keys.pruned > 0.0;
  }
  /// Something of it is chosen from a prompt's queries.
  [[nodiscard]] bool needs_prompt() const { return keys.pruned > 0.0; }
};

/// One row of the table of codecs.
struct CodecInfo {
  std::string_view name;
  std::string_view summary;
  std::string_view paper;  ///< "arXiv:2402.02750", a project, or empty
  std::span<const ParamInfo> params;
  SideCodec (*make)(const Params& params, Side side) = nullptr;
};

/// Every codec, in the order of `kvgauge list codecs`.
[[nodiscard]] std::span<const CodecInfo> codecs();

/// Null when there is none of this name.
[[nodiscard]] const CodecInfo* find_codec(std::string_view name);

/// Makes a codec of the part behind the '+' of a spec: NAME:key=value or k=NAME,v=NAME,k.key=value.
/// Throws InvalidArgument.
[[nodiscard]] Codec make_codec(const SpecPart& part);

/// The form that a side takes for heads of `head_dim` channels computed in `compute`. Throws
/// InvalidArgument when it does not fit them, naming what does.
[[nodiscard]] kernels::Form form_of(const SideCodec& side, int head_dim, DType compute);

/// Channels stored of a key's or value's head_dim.
[[nodiscard]] int channels_of(const SideCodec& side, int head_dim);

/// Throws InvalidArgument when this codec cannot store heads of `head_dim` channels, or no
/// attention kernel reads the pair of forms, naming the pairs that have one.
void check_codec(const Codec& codec, int head_dim, DType compute);

}  // namespace kvg::kvcompress
