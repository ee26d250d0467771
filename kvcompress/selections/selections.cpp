#include "kvcompress/selections/selections.h"

#include <array>

namespace kvg::kvcompress {

std::span<const SelectionInfo> selections() {
  static const std::array kSelections{kBaseline, kWindow, kStreaming};
  return kSelections;
}

}  // namespace kvg::kvcompress
