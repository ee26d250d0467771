#pragma once

#include "kvcompress/codec.h"

namespace kvg::kvcompress {

/// group=0 stands for a whole head.
constexpr ParamInfo group_param(std::string_view default_value) {
  return {.name = "group",
          .default_value = default_value,
          .min = 0,
          .max = 256,
          .help = "channels that share a scale, a divisor of head_dim; 0: all of a head"};
}

constexpr ParamInfo mode_param(std::string_view default_value) {
  return {.name = "mode",
          .type = ParamInfo::Type::kChoice,
          .default_value = default_value,
          .choices = "symmetric|asymmetric",
          .help = "scale alone, or scale and zero"};
}

/// A form of `bits` with `group` and `mode` as given.
SideCodec integer_side(const Params& params, int bits, kernels::Transform transform);

}  // namespace kvg::kvcompress
