#pragma once

#include <nlohmann/json_fwd.hpp>

#include "harness/environment.h"
#include "harness/record.h"

namespace kvg::harness {

/// A record with every column, its samples and nested objects; figures that do not exist are null.
[[nodiscard]] nlohmann::ordered_json to_json(const Record& record);

[[nodiscard]] nlohmann::ordered_json to_json(const Environment& environment);

/// One device as `kvgauge info --json` shows it.
[[nodiscard]] nlohmann::ordered_json to_json(const kernels::DeviceInfo& device);

}  // namespace kvg::harness
