#pragma once

#include "kvcompress/selection.h"

namespace kvg::kvcompress {

extern const SelectionInfo kBaseline;
extern const SelectionInfo kWindow;
extern const SelectionInfo kStreaming;
extern const SelectionInfo kRandom;
extern const SelectionInfo kH2o;
extern const SelectionInfo kTova;
extern const SelectionInfo kRkv;
extern const SelectionInfo kSnapkv;
extern const SelectionInfo kPyramidkv;
extern const SelectionInfo kAdakv;
extern const SelectionInfo kKnorm;
extern const SelectionInfo kKeydiff;
extern const SelectionInfo kLagkv;
extern const SelectionInfo kExpected;
extern const SelectionInfo kObserved;
extern const SelectionInfo kChunkkv;
extern const SelectionInfo kCriticalkv;
extern const SelectionInfo kDuo;
extern const SelectionInfo kQuest;

}  // namespace kvg::kvcompress
