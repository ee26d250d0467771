#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace kvg::model {

/// The ids that end a text: `eos_token_id` of generation_config.json, or of config.json where that
/// has none; one id or a list, empty when neither names any. Throws DataError for anything else,
/// and for an id outside [0, vocab).
[[nodiscard]] std::vector<std::int32_t> stop_tokens(const std::filesystem::path& folder, int vocab);

}  // namespace kvg::model
