#include "kvcompress/codecs/codecs.h"

#include <algorithm>
#include <array>

#include "kernels/core/error.h"
#include "kernels/form_pairs.h"

namespace kvg::kvcompress {
namespace {

using kernels::Code;
using kernels::Form;
using kernels::Transform;

std::string known_codecs() {
  std::string names;
  for (const CodecInfo& info : codecs()) {
    names += (names.empty() ? "" : ", ") + std::string(info.name);
  }
  return names;
}

const CodecInfo& codec_named(std::string_view name) {
  if (const CodecInfo* info = find_codec(name)) {
    return *info;
  }
  throw InvalidArgument("no codec named \"" + std::string(name) + "\"; known: " + known_codecs());
}

// The parameters of one side: those of `given` that begin with "k." or "v.", without it.
Params::Given of_side(const Params::Given& given, std::string_view prefix) {
  Params::Given own;
  for (const auto& [key, value] : given) {
    if (key.starts_with(prefix)) {
      own.emplace(key.substr(prefix.size()), value);
    }
  }
  return own;
}

struct MadeSide {
  SideCodec codec;
  std::string canonical;
};

MadeSide make_side(const Params::Given& given, Side side) {
  const std::string letter = side == Side::kKeys ? "k" : "v";
  const auto name = given.find(letter);
  if (name == given.end()) {
    throw InvalidArgument("a codec for keys and values apart needs both, k=NAME,v=NAME; " + letter +
                          "= is missing");
  }
  const CodecInfo& info = codec_named(name->second);
  const Params params(
      "codec " + name->second, info.params, of_side(given, letter + "."), Feed::kSteps);
  const std::string values = params.canonical(letter + ".");
  return {.codec = info.make(params, side),
          .canonical = letter + "=" + name->second + (values.empty() ? "" : "," + values)};
}

Codec make_pair(const Params::Given& given) {
  for (const auto& [key, value] : given) {
    if (key != "k" && key != "v" && !key.starts_with("k.") && !key.starts_with("v.")) {
      throw InvalidArgument(
          "a codec for keys and values apart takes k=, v=, k.NAME= and v.NAME=; not \"" + key +
          "\"");
    }
  }
  const MadeSide keys = make_side(given, Side::kKeys);
  const MadeSide values = make_side(given, Side::kValues);
  return {.canonical = keys.canonical + "," + values.canonical,
          .keys = keys.codec,
          .values = values.codec};
}

bool is_power_of_two(int value) {
  return value > 0 && (value & (value - 1)) == 0;
}

std::string name_of_side(Side side) {
  return side == Side::kKeys ? "keys" : "values";
}

void check_side(const SideCodec& side, Side which, int head_dim, DType compute) {
  const Form form = form_of(side, head_dim, compute);
  const std::string whose = name_of_side(which) + " of head_dim " + std::to_string(head_dim);
  if (form.transform == Transform::kEvenOdd && head_dim % 64 != 0) {
    throw InvalidArgument("the exllamav2 forms cannot store " + whose +
                          "; allowed: a multiple of 64");
  }
  if (!form.per_channel && form.group > 0 && head_dim % form.group != 0) {
    throw InvalidArgument("group=" + std::to_string(form.group) + " does not divide " + whose +
                          "; allowed: a divisor of it");
  }
  const bool halves =
      form.transform == Transform::kHadamard || form.transform == Transform::kSignedHadamard;
  if (halves && !is_power_of_two(head_dim)) {
    throw InvalidArgument("a Walsh-Hadamard transform cannot turn " + whose +
                          "; allowed: a power of two");
  }
  if (side.waiting > 0 && form.group > 0 && side.waiting % form.group != 0 && form.per_channel) {
    throw InvalidArgument("residual=" + std::to_string(side.waiting) +
                          " is no multiple of group=" + std::to_string(form.group));
  }
}

}  // namespace

std::span<const CodecInfo> codecs() {
  static const std::array kCodecs{kF32,     kF16,          kBf16,         kFp8,   kInt8,  kInt4,
                                  kInt2,    kHadamardInt8, kHadamardInt4, kQ8,    kQ6,    kQ4,
                                  kQ8Block, kQ4Block,      kKivi4,        kKivi2, kNvfp4, kMxfp4,
                                  kTurbo4,  kTurbo3,       kThink};
  return kCodecs;
}

const CodecInfo* find_codec(std::string_view name) {
  const auto all = codecs();
  const auto it = std::ranges::find(all, name, &CodecInfo::name);
  return it == all.end() ? nullptr : &*it;
}

Codec make_codec(const SpecPart& part) {
  if (part.name.empty()) {
    return make_pair(part.params);
  }
  const CodecInfo& info = codec_named(part.name);
  const Params params("codec " + part.name, info.params, part.params, Feed::kSteps);
  const std::string values = params.canonical();
  return {.canonical = part.name + (values.empty() ? "" : ":" + values),
          .keys = info.make(params, Side::kKeys),
          .values = info.make(params, Side::kValues)};
}

Form form_of(const SideCodec& side, int head_dim, DType compute) {
  if (side.native) {
    return kernels::native_form(compute);
  }
  Form form = side.form;
  if (side.head_wide) {
    form.group = head_dim;
  }
  return form;
}

int channels_of(const SideCodec& side, int head_dim) {
  // Rows of whole 16-byte words in every native type.
  constexpr int kMultiple = 8;
  const int kept = std::max(head_dim - static_cast<int>(side.pruned * head_dim), 1);
  return std::min(head_dim, (kept + kMultiple - 1) / kMultiple * kMultiple);
}

void check_codec(const Codec& codec, int head_dim, DType compute) {
  check_side(codec.keys, Side::kKeys, head_dim, compute);
  check_side(codec.values, Side::kValues, head_dim, compute);
  const Form keys = form_of(codec.keys, head_dim, compute);
  const Form values = form_of(codec.values, head_dim, compute);
  if (codec.values.waiting > 0 && !keys.per_channel) {
    throw InvalidArgument("values of " + codec.canonical +
                          " wait to be packed, which no attention kernel reads beside these keys; "
                          "allowed beside them: k=kivi4 or k=kivi2");
  }
  if (!kernels::has_kernel(keys, values, codec.keys.pruned > 0.0)) {
    throw InvalidArgument("no attention kernel reads keys and values as " + codec.canonical +
                          "; pairs that have one: " + kernels::list_form_pairs());
  }
}

}  // namespace kvg::kvcompress
