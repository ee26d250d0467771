#include "harness/protocol.h"

#include <algorithm>
#include <array>

#include "harness/protocols/protocols.h"
#include "kernels/core/error.h"

namespace kvg::harness {

std::span<const Protocol> protocols() {
  static const std::array kProtocols{kStream, kSplit, kSpeed, kScore, kTask};
  return kProtocols;
}

const Protocol& find_protocol(std::string_view name) {
  const auto all = protocols();
  const auto found = std::ranges::find(all, name, &Protocol::name);
  if (found != all.end()) {
    return *found;
  }
  std::string known;
  for (const Protocol& protocol : all) {
    known += known.empty() ? "" : ", ";
    known += protocol.name;
  }
  throw InvalidArgument("no protocol named \"" + std::string(name) + "\"; known: " + known);
}

}  // namespace kvg::harness
