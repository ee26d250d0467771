#pragma once

#include "kvcompress/selection.h"

namespace kvg::kvcompress {

extern const SelectionInfo kBaseline;
extern const SelectionInfo kWindow;
extern const SelectionInfo kStreaming;

}  // namespace kvg::kvcompress
