#include "datasets/formats/references.h"

#include <nlohmann/json.hpp>

#include "kernels/core/error.h"

namespace kvg::datasets {

using Json = nlohmann::json;

namespace {

// Metrics take time and memory by the product of answer and reference.
constexpr std::size_t kLongest = std::size_t{1} << 16U;

}  // namespace

std::vector<std::string> references_of(const Json& line,
                                       std::string_view key,
                                       const std::string& where) {
  const auto found = line.find(key);
  const Json list = found == line.end() ? Json()
                    : found->is_array() ? *found
                                        : Json::array({*found});
  std::vector<std::string> references;
  for (const Json& item : list) {
    if (item.is_number()) {
      references.push_back(item.dump());
    } else if (item.is_string() && !item.get<std::string>().empty()) {
      references.push_back(item.get<std::string>());
      if (references.back().size() > kLongest) {
        throw DataError(where + ": " + std::string(key) + " holds a text of " +
                        std::to_string(references.back().size()) + " bytes; allowed: up to " +
                        std::to_string(kLongest));
      }
    } else {
      references.clear();
      break;
    }
  }
  if (references.empty()) {
    throw DataError(where + ": " + std::string(key) + " holds no list of texts, none empty");
  }
  return references;
}

}  // namespace kvg::datasets
