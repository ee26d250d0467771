#pragma once

#include "datasets/task.h"

namespace kvg::datasets {

/// One row a task of this folder; task.cpp lists them.
extern constinit const TaskInfo kNiah;
extern constinit const TaskInfo kNiahMultikey;
extern constinit const TaskInfo kNiahMultivalue;
extern constinit const TaskInfo kNiahMultiquery;
extern constinit const TaskInfo kPasskey;
extern constinit const TaskInfo kVariableTracking;
extern constinit const TaskInfo kCommonWords;
extern constinit const TaskInfo kFrequentWords;
extern constinit const TaskInfo kKeyValueLookup;
extern constinit const TaskInfo kCopy;

}  // namespace kvg::datasets
