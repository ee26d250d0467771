#include "harness/run_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "harness/run_document.h"
#include "kernels/core/error.h"
#include "kernels/core/nesting.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargestRun = std::size_t{1} << 30U;
constexpr std::streamsize kBlock = 1 << 20;
// Of an environment, which is joined to others member by member; ours have 24.
constexpr std::size_t kMostMembers = 64;

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
  throw DataError("run file " + name +
                  " is no run that `kvgauge run --json` or --jsonl wrote: " + reason);
}

// The bytes up to the next end of line, which go with it.
std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

Json parse_line(std::string_view line) {
  return Json::parse(line, nullptr, false);
}

bool is_record(const Json& line) {
  const auto schema = line.find("schema");
  return line.is_object() && schema != line.end() && *schema == kRecordSchema;
}

// Told by its first line; a document's own seldom holds the word at all.
bool holds_record_lines(std::string_view text) {
  const std::string_view first = take_line(text);
  return first.find(kRecordSchema) != std::string_view::npos && is_record(parse_line(first));
}

Json join_lines(std::string_view text, const std::string& name) {
  RunDocument run;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const bool is_whole = text.find('\n') != std::string_view::npos;
    const std::string_view written = take_line(text);
    const Json line = parse_line(written);
    if (line.is_discarded() && !is_whole && written.starts_with('{')) {
      break;
    }
    if (!is_record(line)) {
      refuse(name, "line " + std::to_string(number) + " is no record");
    }
    if (const auto where = line.find("environment");
        where == line.end() || !where->is_object() || where->size() > kMostMembers) {
      refuse(name, "line " + std::to_string(number) + " has no environment of a run");
    }
    run.add_line(line);
  }
  return run.json();
}

Json parse_document(std::string_view text, const std::string& name) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    refuse(name, "it is broken or cut short at byte " + std::to_string(error.byte));
  } catch (const Json::exception&) {
    refuse(name, "it holds a number out of range");
  }
}

}  // namespace

Json parse_run(std::string_view text, const std::string& name) {
  if (nests_too_deep(text)) {
    refuse(name, "it is nested too deep");
  }
  if (holds_record_lines(text)) {
    return join_lines(text, name);
  }
  Json run = parse_document(text, name);
  if (!run.is_object()) {
    refuse(name, "it holds no object");
  }
  if (const auto schema = run.find("schema"); schema != run.end() && *schema != kRunSchema) {
    refuse(name, "its schema is not " + std::string(kRunSchema));
  }
  if (const auto where = run.find("environment"); where != run.end() && !where->is_object()) {
    refuse(name, "its environment is no object");
  }
  const auto records = run.find("records");
  if (records == run.end() || !records->is_array() ||
      !std::ranges::all_of(*records, [](const Json& record) { return record.is_object(); })) {
    refuse(name, "it has no array of records");
  }
  return run;
}

Json read_run(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in.is_open()) {
    throw DataError("run file " + file.string() + " cannot be read: " + std::strerror(errno));
  }
  std::string text;
  std::vector<char> block(kBlock);
  while (in.read(block.data(), kBlock) || in.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
    // A device may never end.
    if (text.size() > kLargestRun) {
      throw DataError("run file " + file.string() + " has more than the 1 GiB that a run may have");
    }
  }
  if (!in.eof()) {
    throw DataError("run file " + file.string() + " cannot be read");
  }
  return parse_run(text, file.string());
}

}  // namespace kvg::harness
