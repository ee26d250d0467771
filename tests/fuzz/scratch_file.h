#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace kvg::fuzz {

/// A folder of this process for the one file whose bytes are fuzzed.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name)
      : folder_(std::filesystem::temp_directory_path() /
                ("kvg_fuzz_" + std::to_string(::getpid()))),
        file_(folder_ / name) {
    std::filesystem::create_directories(folder_);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  /// Yields the file, holding these bytes alone.
  const std::filesystem::path& write(const std::uint8_t* data, std::size_t size) {
    std::ofstream out(file_, std::ios::binary | std::ios::trunc);
    for (std::size_t i = 0; i < size; ++i) {
      out.put(static_cast<char>(data[i]));
    }
    return file_;
  }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  std::filesystem::path file_;
};

}  // namespace kvg::fuzz
