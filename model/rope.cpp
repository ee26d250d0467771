#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "model/families/families.h"

namespace kvg::model {
namespace {

constexpr Range kTheta{.min = 1.0, .max = 1e12};
constexpr Range kFactor{.min = 1.0, .max = 1e6};
constexpr Range kFraction{.min = 0.0, .max = 1.0};
constexpr Range kPositions{.min = 1.0, .max = 1 << 27};

// Long waves are slowed down by `factor`, short ones kept, those between blended
// (Llama 3.1): with r = original / wavelength, r < low: slow; r > high: kept.
double scale_llama3(double frequency, const JsonReader& scaling, int original) {
  const double factor = scaling.number("factor", kFactor);
  const double low = scaling.number("low_freq_factor", kFactor);
  const double high = scaling.number("high_freq_factor", kFactor);
  if (high <= low) {
    scaling.refuse("high_freq_factor must be above low_freq_factor");
  }
  const double turns = original * frequency / (2.0 * std::numbers::pi);
  const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
  return kept * frequency + (1.0 - kept) * frequency / factor;
}

std::string rope_type(const JsonReader& scaling) {
  return scaling.text("rope_type", scaling.text("type", "default"));
}

void scale_frequencies(const JsonReader& scaling, Config& config) {
  const std::string type = rope_type(scaling);
  if (type == "default") {
    return;
  }
  if (type == "linear") {
    const double factor = scaling.number("factor", kFactor);
    for (double& frequency : config.inverse_frequencies) {
      frequency /= factor;
    }
  } else if (type == "llama3") {
    const int original =
        scaling.integer("original_max_position_embeddings", kPositions, config.max_positions);
    for (double& frequency : config.inverse_frequencies) {
      frequency = scale_llama3(frequency, scaling, original);
    }
  } else {
    scaling.refuse("rope type \"" + type +
                   "\" is not supported; supported: default, linear, llama3");
  }
}

// A rotary number: inside the settings first, then beside them, by the family's or the usual name.
struct RopeKey {
  std::string_view key;
  std::string_view family_key;
  Range range;
  double fallback = 0.0;
};

double read_number(const JsonReader& reader,
                   const std::optional<JsonReader>& scaling,
                   const RopeKey& wanted) {
  if (scaling && scaling->has(wanted.key)) {
    return scaling->number(wanted.key, wanted.range);
  }
  if (reader.has(wanted.family_key)) {
    return reader.number(wanted.family_key, wanted.range);
  }
  return reader.number(wanted.key, wanted.range, wanted.fallback);
}

std::optional<JsonReader> find_scaling(const JsonReader& reader) {
  std::optional<JsonReader> scaling = reader.object("rope_scaling");
  if (!scaling) {
    scaling = reader.object("rope_parameters");
  }
  if (scaling && (scaling->has("full_attention") || scaling->has("sliding_attention"))) {
    scaling->refuse("settings by layer type are not supported; supported: one for all layers");
  }
  return scaling;
}

}  // namespace

void read_rope(const JsonReader& reader, Config& config) {
  const Family& family = *config.family;
  const std::optional<JsonReader> scaling = find_scaling(reader);
  const double theta = read_number(reader,
                                   scaling,
                                   {.key = "rope_theta",
                                    .family_key = family.rope_theta_key,
                                    .range = kTheta,
                                    .fallback = 10000.0});
  const double fraction = read_number(reader,
                                      scaling,
                                      {.key = "partial_rotary_factor",
                                       .family_key = family.partial_rotary_key,
                                       .range = kFraction,
                                       .fallback = family.partial_rotary});
  config.rotary_dim = static_cast<int>(config.heads.head_dim * fraction);
  if (config.rotary_dim % 2 != 0) {
    reader.refuse("rotary dimension " + std::to_string(config.rotary_dim) + " (" +
                  std::string(family.partial_rotary_key) + " of head_dim " +
                  std::to_string(config.heads.head_dim) + ") is odd; it must be even");
  }
  for (int i = 0; i < config.rotary_dim; i += 2) {
    config.inverse_frequencies.push_back(
        std::pow(theta, -static_cast<double>(i) / config.rotary_dim));
  }
  if (scaling) {
    scale_frequencies(*scaling, config);
  }
}

std::vector<float> rope_table(const Config& config, std::int32_t positions) {
  std::vector<float> table;
  table.reserve(2 * static_cast<std::size_t>(positions) * config.inverse_frequencies.size());
  for (std::int32_t position = 0; position < positions; ++position) {
    for (const double frequency : config.inverse_frequencies) {
      const double angle = position * frequency;
      table.push_back(static_cast<float>(config.rope_attention_factor * std::cos(angle)));
      table.push_back(static_cast<float>(config.rope_attention_factor * std::sin(angle)));
    }
  }
  return table;
}

}  // namespace kvg::model
