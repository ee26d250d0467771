#include "model/checkpoint.h"

#include <algorithm>
#include <utility>

#include "kernels/core/assets.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"
#include "model/loader.h"
#include "model/weight_files.h"
#include "model/weight_layout.h"

namespace kvg::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSynthetic = "synthetic:";
constexpr std::string_view kCheckpoints = "model/checkpoints";
constexpr std::string_view kShapes = "model/shapes";

std::vector<std::string> names_in(std::string_view asset, bool folders) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(find_asset(asset), error)) {
    const fs::path& path = entry.path();
    if (folders ? fs::exists(path / "config.json") : path.extension() == ".json") {
      names.push_back(folders ? path.filename().string() : path.stem().string());
    }
  }
  std::ranges::sort(names);
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

[[noreturn]] void refuse_name(std::string_view text) {
  throw InvalidArgument("model \"" + std::string(text) + "\" is unknown; give a folder, one of " +
                        joined(shipped_checkpoints()) +
                        ", or synthetic:NAME with a path of a config.json or one of " +
                        joined(shipped_shapes()));
}

// The config file that the text behind "synthetic:" means.
fs::path find_shape(std::string_view text, std::string_view name) {
  fs::path path(name);
  std::error_code error;
  if (fs::is_regular_file(path, error)) {
    return path;
  }
  if (!name.empty() && fs::is_regular_file(path / "config.json", error)) {
    return path / "config.json";
  }
  if (contains(shipped_shapes(), name)) {
    return find_asset(std::string(kShapes) + "/" + std::string(name) + ".json");
  }
  if (contains(shipped_checkpoints(), name)) {
    return find_asset(std::string(kCheckpoints) + "/" + std::string(name)) / "config.json";
  }
  refuse_name(text);
}

fs::path find_folder(std::string_view text) {
  std::error_code error;
  // A folder that holds no model does not hide the shipped one of its name.
  const bool shipped = contains(shipped_checkpoints(), text);
  fs::path folder(text);
  if (fs::is_directory(folder, error) && (!shipped || fs::exists(folder / "config.json", error))) {
    return folder;
  }
  if (shipped) {
    return find_asset(std::string(kCheckpoints) + "/" + std::string(text));
  }
  refuse_name(text);
}

}  // namespace

std::vector<std::string> shipped_checkpoints() {
  return names_in(kCheckpoints, true);
}

std::vector<std::string> shipped_shapes() {
  return names_in(kShapes, false);
}

ModelSource find_model(std::string_view text, std::uint64_t seed) {
  ModelSource source;
  source.text = std::string(text);
  source.seed = seed;
  source.synthetic = text.starts_with(kSynthetic);
  if (source.synthetic) {
    source.config = load_config(find_shape(text, text.substr(kSynthetic.size())));
    return source;
  }
  source.folder = find_folder(text);
  source.config = load_config(source.folder / "config.json");
  // What the files hold decides: config.json may name another type than they were saved in.
  const WeightLayout layout = lay_out_weights(source.config, source.config.dtype);
  source.config.dtype = WeightFiles(source.folder).check(layout);
  return source;
}

DType matrix_dtype(const Config& config, kernels::DeviceKind device, DType compute) {
  return device == kernels::DeviceKind::kCpu ? config.dtype : compute;
}

std::size_t weight_bytes(const Config& config, DType matrix_dtype) {
  return lay_out_weights(config, matrix_dtype).total;
}

Weights load_weights(const ModelSource& source,
                     kernels::Backend& backend,
                     const LoadProgress& progress) {
  const DType dtype = matrix_dtype(source.config, backend.device().kind, backend.compute_dtype());
  const WeightLayout layout = lay_out_weights(source.config, dtype);
  Buffer storage = backend.pool().allocate(layout.total, MemoryClass::kWeights);
  const FillJob job{.config = source.config,
                    .layout = layout,
                    .storage = storage,
                    .backend = backend,
                    .progress = progress};
  if (source.synthetic) {
    fill_with_random(job, source.seed);
  } else {
    fill_from_files(job, WeightFiles(source.folder));
  }
  if (progress) {
    progress(layout.total, layout.total);
  }
  return bind_weights(source.config, layout, std::move(storage));
}

std::string weights_hash(const ModelSource& source) {
  if (source.synthetic) {
    return "synthetic:" + std::to_string(source.seed);
  }
  std::vector<std::string> hashes;
  for (const fs::path& path : WeightFiles(source.folder).paths()) {
    hashes.push_back(sha256_file(path));
  }
  // Shards are hashed one by one, and then the list of their hashes.
  return hashes.size() == 1 ? hashes.front() : sha256_hex(joined(hashes));
}

}  // namespace kvg::model
