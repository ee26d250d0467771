#include "harness/json_document.h"

#include <nlohmann/json.hpp>
#include <string>

#include "harness/columns.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

struct ToJson {
  Json operator()(std::monostate /*none*/) const { return nullptr; }
  template <typename T>
  Json operator()(const T& value) const {
    return value;
  }
};

Json null_if_empty(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(std::string(text));
}

Json clocks_of(const std::optional<Clocks>& clocks) {
  if (!clocks) {
    return nullptr;
  }
  return {{"sm_mhz", clocks->sm_mhz},
          {"memory_mhz", clocks->memory_mhz},
          {"sm_max_mhz", clocks->sm_max_mhz}};
}

Json hashed(const HashedName& file) {
  return {{"name", file.name}, {"sha256", null_if_empty(file.sha256)}};
}

// A word as a shell reads it back.
std::string shell_word(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
    return word;
  }
  std::string quoted = "'";
  for (const char letter : word) {
    quoted += letter == '\'' ? "'\\''" : std::string(1, letter);
  }
  return quoted + "'";
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    line += (line.empty() ? "" : " ") + shell_word(word);
  }
  return line;
}

Json settings_of(const Record& record) {
  Json settings = Json::object();
  for (const Setting& setting : record.settings) {
    settings[setting.name] = std::visit(ToJson{}, setting.value);
  }
  return settings;
}

Json positions_of(const Record& record) {
  Json bins = Json::array();
  for (const PositionNll& bin : record.nll_by_position) {
    bins.push_back({{"from", bin.from}, {"to", bin.to}, {"nll", bin.nll}});
  }
  return bins;
}

Json answer_of(const Answer& answer) {
  return {{"task", answer.task},
          {"depth", answer.depth ? Json(*answer.depth) : Json(nullptr)},
          {"prompt_sha256", answer.prompt_sha256},
          {"text", answer.text},
          {"score", answer.score},
          {"score_norm", answer.score_norm ? Json(*answer.score_norm) : Json(nullptr)},
          {"metric", null_if_empty(answer.metric)},
          {"removed_tokens", answer.removed_tokens},
          {"log_likelihoods", answer.log_likelihoods}};
}

Json samples_of(const Record& record) {
  Json samples = Json::array();
  for (const Sample& sample : record.samples) {
    Json entry = Json::object();
    for (const SampleColumn& column : sample_columns()) {
      entry[std::string(column.key)] = std::visit(ToJson{}, column.get(sample));
    }
    entry["step_times"] = sample.step_times;
    if (sample.answer) {
      entry.update(answer_of(*sample.answer));
    }
    samples.push_back(std::move(entry));
  }
  return samples;
}

}  // namespace

Json to_json(const Record& record) {
  Json result = Json::object();
  for (const Column& column : columns()) {
    const std::string key(column.key);
    const std::size_t dot = key.find('.');
    Json& place =
        dot == std::string::npos ? result[key] : result[key.substr(0, dot)][key.substr(dot + 1)];
    place = std::visit(ToJson{}, column.get(record));
  }
  result["nll_by_position"] = positions_of(record);
  result["settings"] = settings_of(record);
  result["samples"] = samples_of(record);
  return result;
}

Json to_json(const kernels::DeviceInfo& device) {
  return {{"id", device.id},
          {"name", device.name},
          {"total_bytes", device.total_bytes},
          {"free_bytes", device.free_bytes},
          {"compute_capability", null_if_empty(device.compute_capability)},
          {"driver", null_if_empty(device.driver)},
          {"runtime", null_if_empty(device.runtime)},
          {"gemm", device.gemm},
          {"prefill_attention", device.prefill_attention},
          {"decode_attention", device.decode_attention}};
}

Json to_json(const Environment& environment) {
  const BuildInfo& build = environment.build;
  const kernels::DeviceInfo& device = environment.device;
  const bool on_cuda = device.kind == kernels::DeviceKind::kCuda;
  Json texts = Json::array();
  for (const HashedName& text : environment.texts) {
    texts.push_back(hashed(text));
  }
  return {{"version", build.version},
          {"commit", build.commit},
          {"dirty", build.dirty ? Json(*build.dirty) : Json(nullptr)},
          {"compiler", build.compiler},
          {"build_type", build.type},
          {"sanitizer", null_if_empty(build.sanitizer)},
          {"cuda_compiler", null_if_empty(build.cuda)},
          {"cpu", environment.cpu.name},
          {"cpu_threads", environment.cpu_threads},
          {"cpu_memory_bytes", environment.cpu.total_bytes},
          {"gpu", on_cuda ? Json(device.name) : Json(nullptr)},
          {"gpu_memory_bytes", on_cuda ? Json(device.total_bytes) : Json(nullptr)},
          {"compute_capability", null_if_empty(device.compute_capability)},
          {"driver", null_if_empty(device.driver)},
          {"cuda", null_if_empty(device.runtime)},
          {"clocks", clocks_of(environment.clocks)},
          {"gemm", device.gemm},
          {"prefill_attention", device.prefill_attention},
          {"decode_attention", device.decode_attention},
          {"time_utc", environment.time_utc},
          {"command", shell_line(environment.command)},
          {"weights", hashed(environment.weights)},
          {"texts", std::move(texts)}};
}

}  // namespace kvg::harness
