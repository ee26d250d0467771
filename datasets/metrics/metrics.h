#pragma once

#include "datasets/metric.h"

namespace kvg::datasets {

/// One metric a file of this folder; metric.cpp lists them.
extern constinit const MetricInfo kQuestionF1;
extern constinit const MetricInfo kRougeL;
extern constinit const MetricInfo kClassification;
extern constinit const MetricInfo kRetrieval;
extern constinit const MetricInfo kCount;
extern constinit const MetricInfo kEditSimilarity;
extern constinit const MetricInfo kStringMatchAll;
extern constinit const MetricInfo kStringMatchPart;

}  // namespace kvg::datasets
