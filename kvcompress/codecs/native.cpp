// The element types of the compute path, as storage: nothing is quantised. Cost a step: none beyond
// reading the bytes.

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

template <DType Type>
SideCodec make_native(const Params& /*params*/, Side /*side*/) {
  return {.form = kernels::native_form(Type)};
}

}  // namespace

constinit const CodecInfo kF32{.name = "f32",
                               .summary = "32-bit floats",
                               .paper = "",
                               .params = {},
                               .make = make_native<DType::kF32>};

constinit const CodecInfo kF16{.name = "f16",
                               .summary = "IEEE half precision",
                               .paper = "",
                               .params = {},
                               .make = make_native<DType::kF16>};

constinit const CodecInfo kBf16{.name = "bf16",
                                .summary = "bfloat16",
                                .paper = "",
                                .params = {},
                                .make = make_native<DType::kBF16>};

}  // namespace kvg::kvcompress
