#include "datasets/formats/references.h"

#include <nlohmann/json.hpp>

#include "kernels/core/error.h"

namespace kvg::datasets {

using Json = nlohmann::json;

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
