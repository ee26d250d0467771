#include "harness/run_file.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/nesting.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargestRun = std::size_t{1} << 30U;
constexpr std::streamsize kBlock = 1 << 20;

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
  throw DataError("run file " + name + " is no run that `kvgauge run --json` wrote: " + reason);
}

}  // namespace

Json parse_run(std::string_view text, const std::string& name) {
  if (nests_too_deep(text)) {
    refuse(name, "it is nested too deep");
  }
  Json run = Json::parse(text, nullptr, false);
  if (run.is_discarded()) {
    refuse(name, "it is broken or cut short");
  }
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
