#include "kernels/core/assets.h"

#include <system_error>

namespace kvg {
namespace {

// A build folder lies at most that deep inside the source tree.
constexpr int kMaxAncestors = 4;

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

std::filesystem::path find_asset(std::string_view relative) {
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    std::filesystem::path folder = executable.parent_path();
    std::filesystem::path installed = folder.parent_path() / "share" / "kvgauge" / relative;
    if (is_there(installed)) {
      return installed;
    }
    for (int up = 0; up <= kMaxAncestors; ++up) {
      std::filesystem::path candidate = folder / relative;
      if (is_there(candidate)) {
        return candidate;
      }
      folder = folder.parent_path();
    }
  }
  std::filesystem::path source = std::filesystem::path(KVG_SOURCE_DIR) / relative;
  return is_there(source) ? source : std::filesystem::path();
}

}  // namespace kvg
