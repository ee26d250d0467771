#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cursor.h"
#include "kernels/form.h"
#include "kernels/kv_view.h"

namespace kvg::kernels {

/// How the query heads of a group become one figure of their kv_head. kAll: the mean over every
/// query head of the layer, the same for each kv_head (whose entries then lie in equal slots).
/// Heads are taken in ascending order.
enum class Reduce : std::uint8_t { kMean, kMax, kSum, kAll };

/// RoPE's table, as in Rope: [positions, rotary_dim / 2, 2].
struct Turn {
  const float* table = nullptr;
  int rotary_dim = 0;
};

// ---- What is observed of a prompt. `keys` counts its tokens; slot = position in every KvView.

/// A chunk of a prompt's queries as they pass.
struct QueryChunk {
  const void* query = nullptr;  ///< [batch, tokens, heads, head_dim], compute dtype, after RoPE
  int batch = 0;                ///< rows of this chunk
  int first_row = 0;            ///< which of the prompt's batch rows is the first of them
  int past = 0;                 ///< position of its first token
  int tokens = 0;
  HeadShape shape;
};

/// Copies the queries of the last `window` tokens of the prompt out of a chunk: that of position p
/// to row p - (keys - window). A prompt shorter than the window leaves the first rows as they are.
struct KeepQueriesArgs {
  void* out = nullptr;  ///< [batch, window, heads, head_dim], compute dtype
  QueryChunk chunk;
  int window = 0;
  int keys = 0;
};

/// out[b, g, j] += sum over the chunk's queries of reduce over the group of softmax(scale q k)_j,
/// causal.
struct ColumnSumsArgs {
  double* out = nullptr;  ///< [all batch rows, kv_heads, keys], zero before the first chunk
  QueryChunk chunk;
  KvView kv;  ///< of the chunk's batch rows
  int keys = 0;
  float scale = 1.0F;
  Reduce reduce = Reduce::kSum;  ///< kMean, kMax or kSum
};

/// Adds up the queries as they were before RoPE, and their products, of tokens from `skip` on.
struct MomentsArgs {
  double* sums = nullptr;      ///< [all batch rows, heads, head_dim], zero before the first chunk
  double* products = nullptr;  ///< [all batch rows, heads, head_dim, head_dim], likewise
  QueryChunk chunk;
  Turn turn;
  int skip = 0;
};

/// What the last `window` queries of a prompt see, each causally. Of a prompt shorter than the
/// window all its queries, which are the last rows of `query`; the missing ones see nothing.
struct WindowRowsArgs {
  /// probabilities: [batch, heads, keys], the mean over the queries of softmax(scale q k).
  /// logits: [window, batch, kv_heads, keys], the largest scale q k of the group, row i being that
  /// of the query at position p with p % window = i; -infinity where a query does not see a key.
  float* out = nullptr;
  const void* query = nullptr;  ///< [batch, window, heads, head_dim], compute dtype
  KvView kv;
  int window = 0;
  int keys = 0;
  HeadShape shape;
  int batch = 0;
  float scale = 1.0F;
  bool logits = false;
};

// ---- Scores of a prompt's entries: double [batch, kv_heads, keys], larger stays.

/// The prompt's layer and where its scores go.
struct PromptScores {
  double* out = nullptr;
  KvView kv;
  int keys = 0;
  HeadShape shape;
  int batch = 0;
};

/// Average pooling along the keys (stride 1, zeros beyond both ends count), then the group's
/// figure: sums in double, in ascending order, divided last. Columns from `columns` on are left out
/// of both and get 0.
struct PoolArgs {
  PromptScores to;
  const float* rows = nullptr;  ///< [batch, heads, keys]
  int columns = 0;
  int kernel = 1;  ///< odd
  Reduce reduce = Reduce::kMean;
};

/// ExpectedAttention (arXiv:2510.00636): with mu and S the mean and the covariance of a head's
/// queries, turned by the mean rotation of the positions keys .. keys + future - 1:
/// softmax over j >= skip of (k mu / sqrt(d) + k S k / (2 d)), mean over the group, times |v|.
/// Entries below `skip` get +infinity.
struct ExpectedArgs {
  PromptScores to;
  const double* sums = nullptr;      ///< of MomentsArgs with the same skip; count = keys - skip
  const double* products = nullptr;  ///< of MomentsArgs
  Turn turn;                         ///< of at least keys + future positions
  int future = 512;
  int skip = 4;
};

/// LagKV (arXiv:2504.04704), as kv_methods 2.14. Entries from `sinks` on are cut into partitions of
/// `lag`. In all but the last full one a channel x of an entry becomes (x - min) / (max - min) with
/// the extremes of that channel in the next partition (0 where they are equal); the unbiased
/// standard deviation over the channels goes through a softmax over the partition; of the mean over
/// keys and values the entry gets its rank in the partition / lag, of equals the newer ranking
/// higher. Sinks get +infinity; the last full partition and the rest behind it, in prompts of less
/// than sinks + 2 lag tokens all others, their position, which is above every rank.
struct LagArgs {
  PromptScores to;
  int sinks = 4;
  int lag = 128;
};

/// out *= ... : (out + epsilon) x the mean over the group of the L1 norm of W_o v, W_o being the
/// columns of a query head in the attention's output projection (CriticalKV, arXiv:2502.03805).
/// +infinity stays.
struct OutputNormArgs {
  PromptScores to;
  const void* weight = nullptr;  ///< [hidden, heads x head_dim], `dtype`
  DType dtype = DType::kF32;
  int hidden = 0;
  double epsilon = 1e-4;
};

// ---- Choices.

/// Sets the `count` largest of each row of `by` to +infinity in `in` (all when there are fewer). Of
/// equals, +infinity among them, the newer is larger.
struct RaiseArgs {
  const double* by = nullptr;  ///< [rows, width]
  double* in = nullptr;        ///< [rows, width]; may be `by`
  int rows = 0;
  int width = 0;
  int count = 0;
};

/// Keeps the largest scores. Of equals the newer stays, of those at one position the lower
/// kv_head's; +infinity marks what is protected, and of more than can stay the newest do.
struct ChooseArgs {
  const double* scores = nullptr;  ///< [batch, kv_heads, keys]
  int keys = 0;
  int batch = 0;
  int kv_heads = 0;
  /// Entries kept a kv_head, all when there are fewer. `together`: batch rows keep kv_heads x count
  /// in all, whoever's they are.
  int count = 0;
  bool together = false;
  const std::int32_t* counts = nullptr;  ///< [kv_heads], in place of count; not together
  /// As in EvictArgs, for the choice alone: `slot_scores` get the scores as they are.
  bool by_age = false;
  std::int32_t recent = 0;
  /// [batch, kv_heads]: `entries` becomes what is kept and `slot` entries - 1. Together, `limit` is
  /// what is kept and `slack` more, and the heads of a row start one behind the other, each at a
  /// multiple of `align`.
  HeadCursor* heads = nullptr;
  int slack = 0;
  int align = 1;
  std::int32_t* kept = nullptr;  ///< [batch, kv_heads, kept_stride]: positions kept, ascending
  std::int64_t kept_stride = 0;  ///< together: at least keys, else at least count
  /// For selections that go on evicting, both or neither: [batch, slots], at start + i of the head.
  /// Not together, `start` is read from `heads`.
  double* slot_scores = nullptr;
  std::int32_t* slot_positions = nullptr;
  std::int64_t slots = 0;
};

// ---- Steps.

/// How the scores of a head's entries change with a step.
enum class Update : std::uint8_t {
  kNone,     ///< they stay; the newest gets +infinity
  kSum,      ///< += the newest query's probability; the newest starts from 0
  kReplace,  ///< = the newest query's probability
  kRandom,   ///< they stay; the newest gets random_score()
  kGiven     ///< another operation has just written all of them
};

/// EvictArgs::recent: half of what a head may keep, (limit - 1) / 2.
inline constexpr std::int32_t kHalfOfBudget = -1;

/// Writes the newest entry's position and score and, once a head holds more than `limit - 1`
/// entries, chooses the one that leaves: the smallest score, of equals the oldest. The next entry
/// goes to its slot; a head with room takes the next slot. Moves the heads' cursors (in place of
/// Backend::advance, which still moves the step's).
///
/// Probabilities are the softmax of `rows` over the head's entries, in double. Where every entry is
/// recent, all may leave.
struct EvictArgs {
  const StepCursor* cursor = nullptr;
  HeadCursor* heads = nullptr;        ///< [batch, kv_heads] of this layer
  double* scores = nullptr;           ///< [batch, slots]
  std::int32_t* positions = nullptr;  ///< [batch, slots]
  std::int64_t slots = 0;             ///< of one batch row
  const float* rows = nullptr;        ///< [batch, heads, capacity]: AttendArgs::scores, or null
  std::int64_t capacity = 0;
  HeadShape shape;
  int batch = 0;
  Update update = Update::kNone;
  Reduce reduce = Reduce::kSum;
  bool by_age = false;  ///< compares scores divided by the number of queries that saw the entry:
                        ///< the newest position - its own + 1
  std::int32_t recent = 0;  ///< entries of the newest so many positions are protected
  std::uint64_t seed = 0;   ///< kRandom
  int layer = 0;            ///< kRandom
};

/// R-KV (arXiv:2505.24133): scores of the entries of every head that is full (entries == limit; all
/// of them when `always`), from the logits of the last `window` queries and the likeness of keys.
/// The window is the newest `window` positions. importance: softmax of the logits over the entries
/// older than the window, mean over the window, max-pooled over `kernel` neighbours in age, the
/// window's left out. redundancy: cosine likeness, diagonal 0; in each row the newest other entry
/// above `threshold` is set to 0; mean over rows; softmax over all entries. score = lambda x
/// importance - (1 - lambda) x redundancy; +infinity in the window.
struct RedundancyArgs {
  double* scores = nullptr;  ///< [batch, slots]
  /// [batch, slots]; null: position = slot of the head. A step's newest entry need not have its own
  /// yet.
  const std::int32_t* positions = nullptr;
  StoredView keys;  ///< `values` is not read; nothing waits
  /// [window, batch, kv_heads, capacity]: largest logit of the group; row position % window.
  float* logits = nullptr;
  /// A step: [batch, heads, capacity], put into `logits` first, of full heads and others, and the
  /// newest's position is cursor->position. Null: `logits` is complete, the newest's position is
  /// entries - 1.
  const float* rows = nullptr;
  const StepCursor* cursor = nullptr;
  HeadShape shape;
  int batch = 0;
  int window = 8;
  int kernel = 7;
  double lambda = 0.1;
  double threshold = 0.5;
  bool always = false;
};

/// Carries the logits of a prompt's window over to its kept entries: out[w, b, g, i] =
/// in[w, b, g, kept[b, g, i]] for i below the head's entries.
struct KeepLogitsArgs {
  float* out = nullptr;                ///< [window, batch, kv_heads, capacity]
  const float* in = nullptr;           ///< [window, batch, kv_heads, keys]
  const std::int32_t* kept = nullptr;  ///< [batch, kv_heads, kept_stride]; null: i itself
  std::int64_t kept_stride = 0;
  const HeadCursor* heads = nullptr;  ///< [batch, kv_heads]
  std::int64_t capacity = 0;
  int keys = 0;
  int window = 0;
  int batch = 0;
  int kv_heads = 0;
};

/// ThinK (arXiv:2407.21018): keeps the `count` channels of a kv_head with the largest mean over the
/// window's queries (as in WindowRowsArgs) and the group of q_c^2 x mean over the prompt's keys of
/// k_c^2. Of equals the lower channel stays.
struct ChannelArgs {
  std::int16_t* channels = nullptr;  ///< [batch, kv_heads, count], ascending
  int count = 0;
  const void* query = nullptr;  ///< [batch, window, heads, head_dim], compute dtype
  int window = 0;
  KvView kv;
  int keys = 0;
  HeadShape shape;
  int batch = 0;
};

/// Quest (arXiv:2406.10774): smallest and largest key of each page and channel.
struct PageBoundsArgs {
  /// [batch, kv_heads, pages, 2 (min, max), head_dim]; pages without entries stay as they are.
  float* bounds = nullptr;
  int pages = 0;
  int page = 16;
  KvView from;  ///< compute dtype
  const HeadCursor* heads =
      nullptr;   ///< a step: `from` slot 0 becomes entry entries - 1. Null: a prompt
  int keys = 0;  ///< a prompt: its tokens, slot = entry
  HeadShape shape;
  int batch = 0;
};

/// The `count` pages of a head whose bound sum_c max(q_c min_c, q_c max_c), reduced over the group,
/// is largest; the page of the newest entry is always among them. Of equals the newer is larger.
struct ChoosePagesArgs {
  std::int32_t* pages = nullptr;  ///< [batch, kv_heads, count], ascending; -1 where there are fewer
  int count = 0;
  const float* bounds = nullptr;
  int all_pages = 0;  ///< of `bounds`
  int page = 16;
  const void* query = nullptr;  ///< [batch, heads, head_dim], compute dtype
  const HeadCursor* heads = nullptr;
  HeadShape shape;
  int batch = 0;
  Reduce reduce = Reduce::kSum;  ///< kMean, kMax or kSum
};

/// The share of selections in a device's work: what they observe, how they score entries, and whom
/// they choose. Enqueued in order with the backend's other operations; the same observations lead
/// to the same choice on every backend. Scores are doubles, so that near ties fall alike.
class Scoring {
 public:
  Scoring() = default;
  Scoring(const Scoring&) = delete;
  Scoring& operator=(const Scoring&) = delete;
  virtual ~Scoring() = default;

  virtual void clear(void* data, std::size_t bytes) = 0;

  virtual void keep_queries(const KeepQueriesArgs& args) = 0;
  virtual void column_sums(const ColumnSumsArgs& args) = 0;
  virtual void moments(const MomentsArgs& args) = 0;
  virtual void window_rows(const WindowRowsArgs& args) = 0;

  virtual void pool(const PoolArgs& args) = 0;
  /// -|k|.
  virtual void key_norms(const PromptScores& args) = 0;
  /// KeyDiff (arXiv:2504.15364): -cos(k, mean of k / |k|).
  virtual void key_likeness(const PromptScores& args) = 0;
  virtual void expected(const ExpectedArgs& args) = 0;
  virtual void lag(const LagArgs& args) = 0;
  /// random_score(seed, layer, kv_head of the row, position).
  virtual void random(const PromptScores& args, std::uint64_t seed, int layer) = 0;
  /// The position: the newest stay.
  virtual void recency(const PromptScores& args) = 0;
  /// out /= number of prompt queries that see the entry, keys - j.
  virtual void by_age(const PromptScores& args) = 0;
  /// Every entry gets the mean of its chunk of `chunk` neighbours (the last may be shorter) among
  /// the first `columns` (ChunkKV, arXiv:2502.00299).
  virtual void chunk_means(const PromptScores& args, int chunk, int columns) = 0;
  virtual void output_norms(const OutputNormArgs& args) = 0;
  /// +infinity for the first `first` and the last `last` entries.
  virtual void protect(const PromptScores& args, int first, int last) = 0;

  virtual void raise(const RaiseArgs& args) = 0;
  virtual void choose(const ChooseArgs& args) = 0;
  virtual void choose_channels(const ChannelArgs& args) = 0;

  virtual void evict(const EvictArgs& args) = 0;
  virtual void redundancy(const RedundancyArgs& args) = 0;
  virtual void keep_logits(const KeepLogitsArgs& args) = 0;
  virtual void page_bounds(const PageBoundsArgs& args) = 0;
  virtual void choose_pages(const ChoosePagesArgs& args) = 0;
};

}  // namespace kvg::kernels
