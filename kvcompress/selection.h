#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kvcompress/spec.h"

namespace kvg::kvcompress {

/// What a layer's cache is about to take.
struct LayerShape {
  int layer = 0;
  int layers = 1;
  int kv_heads = 1;
  std::int32_t prompt = 0;  ///< tokens of the prompt; 0: there is none
};

/// What becomes of one kv_head's entries.
struct HeadPlan {
  std::int32_t kept = 0;  ///< of the prompt; with Selection::together() the mean over the kv_heads
  std::int64_t budget = 0;  ///< entries after every later step; 0: all that come are appended
  std::int32_t sinks = 0;   ///< first entries that no step removes
};

/// Who leaves when a head is full.
enum class Leaving {
  kRing,   ///< the oldest that is no sink
  kScores  ///< as EvictRule says
};

/// How steps score entries, for Leaving::kScores.
struct EvictRule {
  kernels::Update update = kernels::Update::kNone;
  kernels::Reduce reduce = kernels::Reduce::kSum;
  bool by_age = false;
  std::int32_t recent = 1;  ///< the newest so many stay
  std::uint64_t seed = 0;
};

/// R-KV's second score, written before the eviction of every step.
struct RedundancyRule {
  int window = 8;
  int kernel = 7;
  double lambda = 0.1;
};

/// Steps read whole pages of the entries instead of all of them.
struct PagingRule {
  int page = 16;
  std::int64_t budget = 0;  ///< entries read
  int dense_layers = 2;     ///< first layers that read all
};

/// What has to be observed for a selection, and nothing else is.
struct Needs {
  int window = 0;                                  ///< a prompt's last queries
  bool rows = false;                               ///< what those queries see, mean over them
  bool column_sums = false;                        ///< what all queries see, added up in the scores
  kernels::Reduce reduce = kernels::Reduce::kSum;  ///< of the column sums
  bool moments = false;                            ///< mean and products of a prompt's queries
  std::int32_t skip = 0;                           ///< first tokens that the moments leave out
  std::int32_t future = 0;    ///< positions beyond the run that RoPE's table must have
  bool spare_scores = false;  ///< a second array of scores
  bool output = false;        ///< the attention's output projection
  bool step_scores = false;   ///< every step's scores
};

/// A prompt's layer with all that was observed of it. Arrays are those that Needs asked for.
struct PromptContext {
  kernels::Scoring& scoring;
  kernels::PromptScores scores;  ///< where the scores go
  LayerShape layer;
  int count = 0;                ///< entries that will be kept a kv_head
  const float* rows = nullptr;  ///< [batch, heads, keys]
  const double* sums = nullptr;
  const double* products = nullptr;
  double* spare = nullptr;  ///< [batch, kv_heads, keys]
  kernels::Turn turn{};
  kernels::Linear output{};
  const void* queries = nullptr;      ///< [batch, window, heads, head_dim]
  float* logits = nullptr;            ///< [window, batch, kv_heads, keys], with a RedundancyRule
  kernels::StoredView prompt_keys{};  ///< the prompt's keys as if stored
  float scale = 1.0F;

  /// The same layer with its scores in `spare`.
  [[nodiscard]] kernels::PromptScores in_spare() const;
};

/// Who stays: the choice of the entries that a cache keeps. Immutable; what belongs to one sequence
/// lives in the KvCache, which carries out what a selection declares here.
class Selection {
 public:
  Selection() = default;
  Selection(const Selection&) = delete;
  Selection& operator=(const Selection&) = delete;
  virtual ~Selection() = default;

  [[nodiscard]] virtual HeadPlan plan(const LayerShape& layer, int kv_head) const = 0;

  /// The kv_heads of a layer share one budget: a ragged cache.
  [[nodiscard]] virtual bool together() const { return false; }
  [[nodiscard]] virtual Leaving leaving() const { return Leaving::kRing; }
  [[nodiscard]] virtual EvictRule evict_rule() const { return {}; }
  [[nodiscard]] virtual std::optional<RedundancyRule> redundancy() const { return {}; }
  [[nodiscard]] virtual std::optional<PagingRule> paging() const { return {}; }
  /// Entry i of the kept cache has position i; else every entry its place in the text.
  [[nodiscard]] virtual bool cache_positions() const { return false; }
  /// What the token of a step sees, the newest included, where that follows from its position alone
  /// and is alike in every layer and kv_head; empty: it depends on more. Means nothing to a
  /// selection whose prompt is cut.
  [[nodiscard]] virtual std::optional<kernels::Visibility> visible() const { return {}; }
  [[nodiscard]] virtual Needs needs(Feed /*feed*/) const { return {}; }
  /// Enqueues what fills `context.scores`: doubles, larger stays, +infinity for what is protected.
  /// Called for every layer of a prompt that has to be cut or whose scores later steps use.
  virtual void score(const PromptContext& context) const;
  /// Throws InvalidArgument for a model that this selection cannot serve.
  virtual void check(int /*layers*/, int /*kv_heads*/) const {}
  /// Throws InvalidArgument when a share of a prompt of so many tokens is less than must stay.
  virtual void check_prompt(std::int32_t /*tokens*/) const {}
  /// What was asked for, as a text of the spec: "256", or "keep=0.25"; empty: everything.
  [[nodiscard]] virtual std::string requested() const { return {}; }

  /// Steps may remove entries of some head; as a rule all heads are alike.
  [[nodiscard]] virtual bool evicts(const LayerShape& layer) const;
};

/// One row of the table of selections: everything the program knows of one.
struct SelectionInfo {
  std::string_view name;
  std::string_view summary;
  std::string_view paper;    ///< "arXiv:2309.17453", or empty
  std::string_view example;  ///< the spec that suites run; duo's needs a file, so they leave it out
  bool with_steps = false;   ///< runs where there is no prompt
  std::span<const ParamInfo> params;
  /// May complete parameters whose default depends on others. Throws InvalidArgument when they
  /// contradict each other.
  std::unique_ptr<const Selection> (*make)(Params& params, Feed feed) = nullptr;
};

/// Every selection, in the order of `kvgauge list policies`.
[[nodiscard]] std::span<const SelectionInfo> selections();

}  // namespace kvg::kvcompress
