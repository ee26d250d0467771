#include "model/weight_files.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/core/error.h"
#include "model/json_reader.h"

namespace kvg::model {
namespace {

namespace fs = std::filesystem;

bool lies_in(const fs::path& file, const fs::path& folder) {
  const fs::path relative = file.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

// A shard is named by a file that may be hostile: it must be a plain name, and what it resolves to
// must lie in the folder, or in the store that the Hugging Face cache links its snapshots to.
void check_shard_name(const fs::path& index, const std::string& name) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
  const std::string quoted = nlohmann::json(name).dump();
  if (!plain) {
    throw DataError(index.string() + ": shard " + quoted +
                    " is not the plain name of a file in this folder");
  }
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(index.parent_path(), error);
  const fs::path target = fs::weakly_canonical(index.parent_path() / name, error);
  const fs::path store = folder.parent_path().parent_path() / "blobs";
  if (error || (!lies_in(target, folder) && !lies_in(target, store))) {
    throw DataError(index.string() + ": shard " + quoted + " links to a file outside this folder");
  }
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder) : folder_(folder) {
  static constexpr const char* kSingle = "model.safetensors";
  static constexpr const char* kIndex = "model.safetensors.index.json";
  if (fs::exists(folder / kSingle)) {
    files_.emplace(kSingle, std::make_unique<SafetensorsFile>(folder / kSingle));
  } else if (fs::exists(folder / kIndex)) {
    open_index(folder / kIndex);
  } else {
    throw DataError(folder.string() + ": no weights; expected " + kSingle + " or " + kIndex);
  }
}

void WeightFiles::open_index(const fs::path& index) {
  const nlohmann::json object = read_json_object(index);
  const auto map = object.find("weight_map");
  if (map == object.end() || !map->is_object() || map->empty()) {
    throw DataError(index.string() + ": weight_map is missing or empty");
  }
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) {
      throw DataError(index.string() + ": weight_map names no file for tensor " +
                      nlohmann::json(tensor).dump());
    }
    const auto name = shard.get<std::string>();
    auto it = files_.find(name);
    if (it == files_.end()) {
      check_shard_name(index, name);
      it = files_.emplace(name, std::make_unique<SafetensorsFile>(folder_ / name)).first;
    }
    if (it->second->find(tensor) == nullptr) {
      throw DataError(it->second->path().string() + ": tensor " + nlohmann::json(tensor).dump() +
                      " is listed in the index but absent");
    }
  }
}

std::vector<fs::path> WeightFiles::paths() const {
  std::vector<fs::path> paths;
  for (const auto& [name, file] : files_) {
    paths.push_back(file->path());
  }
  return paths;
}

FoundTensor WeightFiles::locate(const std::string& tensor) const {
  for (const auto& [name, file] : files_) {
    if (const TensorEntry* entry = file->find(tensor); entry != nullptr) {
      return {.file = file.get(), .entry = entry};
    }
  }
  return {};
}

FoundTensor WeightFiles::find(const WeightPart& part, const PartSource& source) const {
  FoundTensor found = locate(source.tensor);
  if (found.entry == nullptr && !source.alias.empty()) {
    found = locate(source.alias);
  }
  if (found.entry == nullptr) {
    throw DataError(folder_.string() + ": tensor \"" + source.tensor + "\" is missing");
  }
  const std::string where = found.file->path().string() + ": tensor \"" + source.tensor + "\"";
  std::vector<std::int64_t> wanted{source.rows};
  if (!part.vector) {
    wanted.push_back(part.columns);
  }
  if (found.entry->shape != wanted) {
    throw DataError(where + " has shape " + shape_text(found.entry->shape) +
                    "; config.json wants " + shape_text(wanted));
  }
  if (!found.entry->weight_dtype()) {
    throw DataError(where + " has dtype " + found.entry->dtype + "; supported: F32, F16, BF16");
  }
  return found;
}

DType WeightFiles::check(const WeightLayout& layout) const {
  std::optional<DType> common;
  for (const WeightPart& part : layout.parts) {
    for (const PartSource& source : part.sources) {
      const DType dtype = find(part, source).entry->weight_dtype().value();
      if (!part.vector) {
        common = common.value_or(dtype) == dtype ? dtype : DType::kF32;
      }
    }
  }
  return common.value_or(DType::kF32);
}

}  // namespace kvg::model
