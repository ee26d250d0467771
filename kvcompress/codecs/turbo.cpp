// TurboQuant (arXiv:2504.19874), its mean-square form: a head's vector through random signs and a
// Walsh-Hadamard transform, after which its elements are nearly normal, then the Lloyd-Max levels
// of a normal; one f16 scale a token and head, which keeps the vector's norm. What differs: keys
// and values are treated alike, and the paper's second stage (a 1-bit sketch of the residual) is
// left out, as serving engines do.

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

template <int Bits>
SideCodec make(const Params& /*params*/, Side /*side*/) {
  return {.form = {.code = kernels::Code::kLloyd,
                   .bits = Bits,
                   .transform = kernels::Transform::kSignedHadamard},
          .head_wide = true};
}

}  // namespace

constinit const CodecInfo kTurbo4{.name = "turbo4",
                                  .summary = "4-bit Lloyd-Max levels after a random rotation",
                                  .paper = "arXiv:2504.19874",
                                  .params = {},
                                  .make = make<4>};

constinit const CodecInfo kTurbo3{.name = "turbo3",
                                  .summary = "3-bit Lloyd-Max levels after a random rotation",
                                  .paper = "arXiv:2504.19874",
                                  .params = {},
                                  .make = make<3>};

}  // namespace kvg::kvcompress
