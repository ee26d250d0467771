// Round-to-nearest integers, a scale (and a zero) in f16 for every group of channels of one token
// and head: the error of an entry is final when it is appended, nothing waits and nothing is
// quantised twice. The hadamard forms turn a head by an orthonormal Walsh-Hadamard transform first,
// which spreads outlier channels (as QuaRot, arXiv:2404.00456, does; here keys and values are
// turned in the cache alone, and the query and the output instead of the weights).

#include "kvcompress/codecs/integer.h"

#include <array>

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

using kernels::Transform;

constexpr std::array kWholeHead{group_param("0"), mode_param("symmetric")};
constexpr std::array kGroups{group_param("32"), mode_param("asymmetric")};

template <int Bits, Transform Turn>
SideCodec make(const Params& params, Side /*side*/) {
  return integer_side(params, Bits, Turn);
}

}  // namespace

SideCodec integer_side(const Params& params, int bits, Transform transform) {
  const bool symmetric = params.text("mode") == "symmetric";
  const auto group = static_cast<int>(params.integer("group"));
  return {.form = {.code = symmetric ? kernels::Code::kSymmetric : kernels::Code::kAsymmetric,
                   .bits = bits,
                   .group = group,
                   .transform = transform},
          .head_wide = group == 0};
}

constinit const CodecInfo kInt8{.name = "int8",
                                .summary = "8-bit integers",
                                .paper = "",
                                .params = kWholeHead,
                                .make = make<8, Transform::kNone>};

constinit const CodecInfo kInt4{.name = "int4",
                                .summary = "4-bit integers",
                                .paper = "",
                                .params = kGroups,
                                .make = make<4, Transform::kNone>};

constinit const CodecInfo kInt2{.name = "int2",
                                .summary = "2-bit integers",
                                .paper = "",
                                .params = kGroups,
                                .make = make<2, Transform::kNone>};

constinit const CodecInfo kHadamardInt8{.name = "hadamard_int8",
                                        .summary = "8-bit integers of the Walsh-Hadamard transform",
                                        .paper = "arXiv:2404.00456",
                                        .params = kWholeHead,
                                        .make = make<8, Transform::kHadamard>};

constinit const CodecInfo kHadamardInt4{.name = "hadamard_int4",
                                        .summary = "4-bit integers of the Walsh-Hadamard transform",
                                        .paper = "arXiv:2404.00456",
                                        .params = kGroups,
                                        .make = make<4, Transform::kHadamard>};

}  // namespace kvg::kvcompress
