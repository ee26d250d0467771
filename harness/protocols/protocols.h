#pragma once

#include "harness/protocol.h"

namespace kvg::harness {

/// One row a file of this folder; protocol.cpp lists them.
extern constinit const Protocol kStream;
extern constinit const Protocol kSplit;
extern constinit const Protocol kSpeed;
extern constinit const Protocol kScore;
extern constinit const Protocol kTask;

}  // namespace kvg::harness
