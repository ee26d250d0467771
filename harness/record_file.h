#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kvg::harness {

/// A file of JSON lines, one a record, that is whole whenever the program or the machine ends: a
/// line is appended in one write and is on the disk when append() returns; what a kill left of a
/// line is dropped when the file is opened again.
class RecordFile {
 public:
  /// Opens or creates the file and holds it for this process alone. What is no regular file, such
  /// as /dev/stdout, is written to as it is. Throws InvalidArgument when it cannot be written, when
  /// another process holds it, or when its last line is no record cut short.
  explicit RecordFile(std::filesystem::path file);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Every line of the file as it is now. Throws DataError naming a line that is no JSON object.
  [[nodiscard]] std::vector<nlohmann::ordered_json> read() const;

  /// Throws DataError when the line cannot be written.
  void append(const nlohmann::ordered_json& line);

  /// Puts `line` in the place of the line at `index`, counted from 0, in one step.
  void replace(std::size_t index, const nlohmann::ordered_json& line);

 private:
  void hold(int descriptor);
  void repair();
  void write(std::string_view text) const;

  std::filesystem::path file_;
  bool regular_ = true;
  int descriptor_ = -1;
};

}  // namespace kvg::harness
