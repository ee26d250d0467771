// 4-bit floats (E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and signs). nvfp4: blocks of 16 with an E4M3
// scale; the format's second, per-tensor scale is 1. mxfp4 (OCP Microscaling): blocks of 32 with a
// power of two.

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

template <kernels::Code Kind, int Block>
SideCodec make(const Params& /*params*/, Side /*side*/) {
  return {.form = {.code = Kind, .bits = 4, .group = Block}};
}

}  // namespace

constinit const CodecInfo kNvfp4{.name = "nvfp4",
                                 .summary = "4-bit floats in blocks of 16, E4M3 scales",
                                 .paper = "NVIDIA NVFP4",
                                 .params = {},
                                 .make = make<kernels::Code::kNvfp4, 16>};

constinit const CodecInfo kMxfp4{.name = "mxfp4",
                                 .summary = "4-bit floats in blocks of 32, power-of-two scales",
                                 .paper = "OCP Microscaling v1.0",
                                 .params = {},
                                 .make = make<kernels::Code::kMxfp4, 32>};

}  // namespace kvg::kvcompress
