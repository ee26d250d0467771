// 8-bit floats, as vLLM's fp8 KV cache stores them (E4M3 saturating at 448, E5M2 at 57344), rounded
// to nearest even. scale=1 is vLLM's uncalibrated default. scale=dynamic differs from it: one f16
// scale a token and head from its own largest magnitude, where vLLM calibrates one a tensor.

#include <array>

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{ParamInfo{.name = "format",
                                       .type = ParamInfo::Type::kChoice,
                                       .default_value = "e4m3",
                                       .choices = "e4m3|e5m2",
                                       .help = "4 exponent and 3 mantissa bits, or 5 and 2"},
                             ParamInfo{.name = "scale",
                                       .type = ParamInfo::Type::kChoice,
                                       .default_value = "1",
                                       .choices = "1|dynamic",
                                       .help = "none, or one a token and head"}};

SideCodec make(const Params& params, Side /*side*/) {
  const bool wide = params.text("format") == "e5m2";
  return {.form = {.code = wide ? kernels::Code::kE5M2 : kernels::Code::kE4M3, .bits = 8},
          .head_wide = params.text("scale") == "dynamic"};
}

}  // namespace

constinit const CodecInfo kFp8{.name = "fp8",
                               .summary = "8-bit floats, E4M3 or E5M2",
                               .paper = "arXiv:2209.05433",
                               .params = kParams,
                               .make = make};

}  // namespace kvg::kvcompress
