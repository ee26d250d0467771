// llama.cpp's block types q8_0 and q4_0: blocks of 32 channels with one f16 scale. The codes are
// llama.cpp's; codes and scales lie in arrays of their own instead of interleaved blocks.

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

constexpr int kBlock = 32;

template <kernels::Code Kind, int Bits>
SideCodec make(const Params& /*params*/, Side /*side*/) {
  return {.form = {.code = Kind, .bits = Bits, .group = kBlock}};
}

}  // namespace

constinit const CodecInfo kQ8Block{.name = "q8_0",
                                   .summary = "8-bit integers in blocks of 32",
                                   .paper = "llama.cpp q8_0",
                                   .params = {},
                                   .make = make<kernels::Code::kBlock8, 8>};

constinit const CodecInfo kQ4Block{.name = "q4_0",
                                   .summary = "4-bit integers in blocks of 32",
                                   .paper = "llama.cpp q4_0",
                                   .params = {},
                                   .make = make<kernels::Code::kBlock4, 4>};

}  // namespace kvg::kvcompress
