#pragma once

#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernels/backend.h"
#include "kvcompress/policy.h"
#include "model/checkpoint.h"
#include "model/runner.h"
#include "tests/support/temp_folder.h"

namespace kvg::testing_support {

// Sizes of the contract's runs: small, yet every codec packs, every selection cuts and evicts.
inline constexpr int kBudget = 8;
inline constexpr std::int32_t kStreamTokens = 40;
inline constexpr std::int32_t kPromptTokens = 20;
inline constexpr std::int32_t kSplitTokens = 38;
inline constexpr int kLayers = 3;

#ifdef KVG_TEST_GPU
inline constexpr const char* kContractDevice = "cuda";
#else
inline constexpr const char* kContractDevice = "cpu";
#endif

/// A seeded synthetic model of 3 layers, head_dim 64: "llama" with 4 heads over 2 kv_heads, or
/// "neox" with 2 heads and a rotary quarter.
class TinyModel {
 public:
  explicit TinyModel(std::string_view family);

  /// Every key becomes the same before RoPE: 0, or with `bias` (neox) the bias of its projection.
  void make_keys_equal(bool bias);

  [[nodiscard]] std::unique_ptr<model::Runner> runner(std::string_view spec,
                                                      const model::RunShape& shape);
  [[nodiscard]] kernels::Backend& backend() { return *backend_; }
  [[nodiscard]] const model::Config& config() const { return source_.config; }

 private:
  TempFolder folder_;
  std::unique_ptr<kernels::Backend> backend_;
  model::ModelSource source_;
  model::Weights weights_;
};

[[nodiscard]] kvcompress::Feed feed_of(const model::RunShape& shape);

/// How a run of the contract feeds its tokens.
[[nodiscard]] model::RunShape shape_of(kvcompress::Feed feed);

/// `count` ids of a fixed random text.
[[nodiscard]] std::vector<std::int32_t> random_ids(std::size_t count, std::uint32_t seed);

/// Logits after the prompt and after every step, and what the cache said it held.
struct Trace {
  std::vector<std::vector<float>> logits;
  std::vector<double> entries;
  kvcompress::KeptEntries kept;
};

/// Empties the cache and feeds ids, the first `prompt` of them at once, to every batch row.
Trace trace_of(model::Runner& runner, std::span<const std::int32_t> ids, std::int32_t prompt);

/// The largest difference over the largest value.
[[nodiscard]] double relative_error(std::span<const float> actual, std::span<const float> expected);

/// One selection of the table under the contract's budget.
struct Chosen {
  std::string spec;             ///< without a codec
  std::string_view name;        ///< of the selection
  bool binds_in_steps = false;  ///< per-step eviction
};

/// A codec as the part of a spec behind the selection: "" or "+int4".
struct CodecText {
  std::string text;
  bool waits = false;  ///< entries wait to be packed, or channels are pruned
  bool needs_prompt = false;
};

/// No codec, every one of the table, and pairs of different sides.
[[nodiscard]] std::vector<CodecText> codec_texts();

/// One family of model and one row of the table of selections.
class CatalogueContract : public testing::TestWithParam<std::tuple<const char*, std::size_t>> {
 protected:
  [[nodiscard]] static const kvcompress::SelectionInfo& info() {
    return kvcompress::selections()[std::get<1>(GetParam())];
  }
  /// The specs that this selection has under `feed` with `budget` entries: as it is and, with a
  /// prompt, where it has the choice, with decode=evict.
  [[nodiscard]] std::vector<Chosen> chosen(kvcompress::Feed feed, int budget = kBudget);

  /// True when the issue says that the two do not go together.
  [[nodiscard]] static bool is_refused(const Chosen& selection,
                                       const CodecText& codec,
                                       kvcompress::Feed feed);

  /// Calls body(selection, codec, feed) for every pair that is not refused.
  template <typename Body>
  void for_each_pair(const Body& body) {
    for (const auto feed : {kvcompress::Feed::kSteps, kvcompress::Feed::kPrompt}) {
      for (const Chosen& selection : chosen(feed)) {
        for (const CodecText& codec : codec_texts()) {
          if (is_refused(selection, codec, feed) || HasFatalFailure()) {
            continue;
          }
          SCOPED_TRACE(selection.spec + codec.text);
          body(selection, codec, feed);
        }
      }
    }
  }

  /// A file for duo: heads keep everything and streaming in turns.
  [[nodiscard]] std::string head_matrix();
  [[nodiscard]] double entries_by_definition(const Chosen& selection,
                                             std::int32_t prompt,
                                             std::int32_t steps) const;

  TinyModel model_{std::get<0>(GetParam())};
  TempFolder folder_;
};

}  // namespace kvg::testing_support
