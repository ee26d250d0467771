// The caches of exllamav2: every span of 64 channels, its even and its odd ones apart, through a
// 32-point Walsh-Hadamard transform, then groups of 32 with one f16 magnitude. Q6 is 8-bit keys
// with 4-bit values. exllamav2 unpacks a whole layer into f16 before attention; here it is read in
// place.

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

constexpr int kGroup = 32;

template <int KeyBits, int ValueBits>
SideCodec make(const Params& /*params*/, Side side) {
  return {.form = {.code = kernels::Code::kAbsMax,
                   .bits = side == Side::kKeys ? KeyBits : ValueBits,
                   .group = kGroup,
                   .transform = kernels::Transform::kEvenOdd}};
}

}  // namespace

constinit const CodecInfo kQ8{.name = "q8",
                              .summary = "8-bit keys and values, transformed",
                              .paper = "exllamav2 Q8",
                              .params = {},
                              .make = make<8, 8>};

constinit const CodecInfo kQ6{.name = "q6",
                              .summary = "8-bit keys, 4-bit values, transformed",
                              .paper = "exllamav2 Q6",
                              .params = {},
                              .make = make<8, 4>};

constinit const CodecInfo kQ4{.name = "q4",
                              .summary = "4-bit keys and values, transformed",
                              .paper = "exllamav2 Q4",
                              .params = {},
                              .make = make<4, 4>};

}  // namespace kvg::kvcompress
