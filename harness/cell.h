#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace kvg::harness {

/// Everything that decides a record's figures, as one text: model and weights, text, policy,
/// protocol, batch, seed, dtype, kind of device and all settings. Records of equal keys are of the
/// same cell. Of a record as to_json() writes it; what is missing counts as null.
[[nodiscard]] std::string cell_key(const nlohmann::ordered_json& record);

/// True when everything that `failed` tells of its cell is so of `record` too: what could not be
/// planned tells less of itself, such as no weights, than the same cell once it is measured.
[[nodiscard]] bool may_be_cell(const nlohmann::ordered_json& failed,
                               const nlohmann::ordered_json& record);

/// True of a record that was measured.
[[nodiscard]] bool is_measured(const nlohmann::ordered_json& record);

}  // namespace kvg::harness
