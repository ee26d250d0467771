#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::datasets {

/// The strings of a list, or the one string that stands for it: at least one, none empty, of at
/// most 64 KiB; a number is taken as it is written. Throws DataError beginning with `where`.
[[nodiscard]] std::vector<std::string> references_of(const nlohmann::json& line,
                                                     std::string_view key,
                                                     const std::string& where);

}  // namespace kvg::datasets
