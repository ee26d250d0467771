#pragma once

#include "datasets/question_file.h"

namespace kvg::datasets {

/// One row a format of this folder; question_file.cpp lists them.
extern constinit const FormatInfo kMultipleChoice;
extern constinit const FormatInfo kRuler;
extern constinit const FormatInfo kLongBench;
extern constinit const FormatInfo kLastWord;

}  // namespace kvg::datasets
