// ThinK (arXiv:2407.21018): of a prompt's keys, the channels that its last queries look at least
// are dropped, head by head; the newest keys and all that is decoded keep every channel, values
// stay whole. Frees memory: kept channels are stored packed beside a list of which they are. Needs
// a prompt.

#include <array>

#include "kernels/core/error.h"
#include "kvcompress/codecs/codecs.h"

namespace kvg::kvcompress {
namespace {

constexpr std::array kParams{
    ParamInfo{.name = "pruned",
              .type = ParamInfo::Type::kReal,
              .default_value = "0.4",
              .max = 1,
              .help = "share of a key's channels that is dropped"},
    ParamInfo{.name = "recent",
              .default_value = "32",
              .min = 1,
              .max = 4096,
              .help = "newest entries of the prompt that keep all channels"},
    ParamInfo{.name = "window",
              .default_value = "32",
              .min = 1,
              .max = 1024,
              .help = "last queries that choose the channels"}};

SideCodec make(const Params& params, Side side) {
  SideCodec codec{.native = true};
  if (side == Side::kKeys) {
    codec.recent = static_cast<std::int32_t>(params.integer("recent"));
    codec.pruned = params.real("pruned");
    if (codec.pruned >= 1.0) {
      throw InvalidArgument("codec think: pruned=1 leaves no channel; allowed: below 1");
    }
    codec.window = static_cast<std::int32_t>(params.integer("window"));
  }
  return codec;
}

}  // namespace

constinit const CodecInfo kThink{.name = "think",
                                 .summary = "keys without their least wanted channels",
                                 .paper = "arXiv:2407.21018",
                                 .params = kParams,
                                 .make = make};

}  // namespace kvg::kvcompress
