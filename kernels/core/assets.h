#pragma once

#include <filesystem>
#include <string_view>

namespace kvg {

/// A shipped file or folder, such as "model/checkpoints/tiny-llama": looked for beside the resolved
/// executable, where `cmake --install` puts it, and in the source tree of the build. Returns an
/// empty path when it is nowhere.
[[nodiscard]] std::filesystem::path find_asset(std::string_view relative);

}  // namespace kvg
