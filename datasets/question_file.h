#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/metric.h"
#include "datasets/task.h"

namespace kvg::datasets {

/// How the answer to a question of a file is judged.
enum class Judge {
  kMetric,      ///< what is generated, by a metric
  kChoice,      ///< the likeliest of several continuations
  kExactWords,  ///< whether the one continuation is what greedy decoding yields
};

/// One line of a benchmark's file.
struct FileQuestion {
  std::string task;  ///< what its scores are averaged by
  Prompt prompt;
  Judge judge = Judge::kMetric;
  const MetricInfo* metric = nullptr;  ///< kMetric alone
  AnswerKey key{};                     ///< kMetric: at least one reference
  bool first_line = false;             ///< kMetric: no more of the answer is judged
  std::int32_t answer_tokens = 0;      ///< kMetric: to generate at most
  std::vector<std::string> choices{};  ///< else: continuations of the prompt; at least one
  std::size_t right = 0;               ///< of the choices
};

/// Where a line stands.
struct LinePlace {
  const std::filesystem::path& file;
  const std::string& where;  ///< begins messages
};

/// One row of the table of formats.
struct FormatInfo {
  std::string_view name;
  std::string_view fields;  ///< that tell it from others
  std::string_view summary;
  bool (*matches)(const nlohmann::json& line) = nullptr;
  /// Throws DataError beginning with place.where.
  FileQuestion (*read)(const nlohmann::json& line, const LinePlace& place) = nullptr;
};

/// Every format; a line is of the first that matches.
[[nodiscard]] std::span<const FormatInfo> formats();

/// The questions of a file.
struct QuestionFile {
  std::string name;    ///< the path as given
  std::string sha256;  ///< hex, of the file's bytes
  std::vector<FileQuestion> questions;
};

/// True for a file of JSON lines whose first line asks a question. One with a "text" alone is a
/// text unless it is asked for the last word of each line.
[[nodiscard]] bool asks_questions(std::string_view path);

/// Reads the first `most` questions of a file of JSON lines; all lines have one format. Throws
/// DataError naming file and line.
[[nodiscard]] QuestionFile load_questions(std::string_view path, std::size_t most);

}  // namespace kvg::datasets
