#include "model/stop_tokens.h"

#include <nlohmann/json.hpp>
#include <string>

#include "model/json_reader.h"

namespace kvg::model {
namespace {

constexpr const char* kKey = "eos_token_id";

std::vector<std::int32_t> read(const std::filesystem::path& file, int vocab) {
  const nlohmann::json object = read_json_object(file);
  const JsonReader reader(object, file.string());
  const nlohmann::json* const value = reader.find(kKey);
  if (value == nullptr) {
    return {};
  }
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  std::vector<std::int32_t> ids;
  for (const nlohmann::json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= vocab) {
      reader.refuse(std::string(kKey) + " holds what is no token id; allowed: 0 to " +
                    std::to_string(vocab - 1));
    }
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

}  // namespace

std::vector<std::int32_t> stop_tokens(const std::filesystem::path& folder, int vocab) {
  const std::filesystem::path file = folder / "generation_config.json";
  std::vector<std::int32_t> ids;
  if (std::filesystem::exists(file)) {
    ids = read(file, vocab);
  }
  return ids.empty() ? read(folder / "config.json", vocab) : ids;
}

}  // namespace kvg::model
