// KIVI (arXiv:2402.02750): keys quantised per channel over groups of tokens once `residual` of them
// wait, values per token once older than the newest `residual`; what waits stays in the compute
// dtype. Asymmetric, scale and zero in f16. Quantisation follows the step's attention. Entries that
// were kept of a prompt are grouped by position.

#include <array>

#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    ParamInfo{.name = "group",
              .default_value = "32",
              .min = 16,
              .max = 128,
              .help = "tokens (keys) or channels (values) that share a scale"},
    ParamInfo{.name = "residual",
              .default_value = "128",
              .min = 16,
              .max = 4096,
              .help = "newest entries held unquantised; a multiple of group"}};

template <int Bits>
SideCodec make(const Params& params, Side side) {
  const auto residual = static_cast<std::int32_t>(params.integer("residual"));
  const bool keys = side == Side::kKeys;
  return {.form = {.code = kernels::Code::kAsymmetric,
                   .bits = Bits,
                   .group = static_cast<int>(params.integer("group")),
                   .per_channel = keys},
          // The newest value comes on top of those that wait.
          .waiting = keys ? residual : residual + 1};
}

}  // namespace

constinit const CodecInfo kKivi4{.name = "kivi4",
                                 .summary = "4 bits, keys per channel, values per token",
                                 .paper = "arXiv:2402.02750",
                                 .params = kParams,
                                 .make = make<4>};

constinit const CodecInfo kKivi2{.name = "kivi2",
                                 .summary = "2 bits, keys per channel, values per token",
                                 .paper = "arXiv:2402.02750",
                                 .params = kParams,
                                 .make = make<2>};

}  // namespace kvg::kvcompress
