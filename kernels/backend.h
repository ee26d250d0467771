#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/ceilings.h"
#include "kernels/core/dtype.h"
#include "kernels/core/memory.h"
#include "kernels/cursor.h"
#include "kernels/device.h"
#include "kernels/form.h"
#include "kernels/kv_view.h"
#include "kernels/scoring.h"

namespace kvg::kernels {

enum class NormKind : std::uint8_t { kRms, kLayer };

/// A normalisation over the last dimension.
/// kRms: x / sqrt(mean(x^2) + eps) * weight. kLayer: (x - mean) / sqrt(var + eps) * weight + bias.
struct Norm {
  NormKind kind = NormKind::kRms;
  const float* weight = nullptr;  ///< [dim]
  const float* bias = nullptr;    ///< [dim], kLayer only
  float eps = 1e-5F;
};

/// y = W x + b.
struct Linear {
  const void* weight = nullptr;  ///< [out, in], row-major, `dtype`
  const float* bias = nullptr;   ///< [out], or null
  DType dtype = DType::kF32;
  int out = 0;
  int in = 0;
};

/// What follows a projection, element by element. The gated forms take a weight of 2 x n rows, gate
/// first, and yield n features: activation(gate) * up.
enum class Activation : std::uint8_t {
  kNone,
  kGelu,
  kGeluTanh,
  kSilu,
  kGatedSilu,
  kGatedGelu,
  kGatedGeluTanh
};

[[nodiscard]] constexpr bool is_gated(Activation activation) {
  return activation >= Activation::kGatedSilu;
}

/// Rotary position embedding with half-split pairs (i, i + rotary_dim / 2); channels from
/// rotary_dim on stay as they are. rotary_dim 0: none.
struct Rope {
  const float* table = nullptr;  ///< [positions, rotary_dim / 2, 2]: cosine, sine
  int rotary_dim = 0;
};

struct EmbedArgs {
  float* out = nullptr;         ///< [rows, hidden]
  const void* table = nullptr;  ///< [vocab, hidden], `dtype`
  DType dtype = DType::kF32;
  const std::int32_t* tokens = nullptr;  ///< [rows], each in [0, vocab)
  int rows = 0;
  int hidden = 0;
};

/// norm -> QKV projection -> query/key norm -> RoPE -> the new entries to their places.
struct QkvArgs {
  const float* in = nullptr;  ///< [batch, tokens, hidden], the residual stream
  Norm norm;
  Linear linear;  ///< rows: heads x head_dim of q, then kv_heads x head_dim of k, then of v
  const float* query_norm = nullptr;  ///< [head_dim] RMS weight with norm.eps, or null
  const float* key_norm = nullptr;    ///< likewise
  Rope rope;
  HeadShape shape;
  int batch = 0;
  int tokens = 0;  ///< per batch row; 1 with a cursor
  /// A step: the position is read from it on the device. Null: token i has position `position + i`
  /// and goes to slot `position + i`.
  const StepCursor* cursor = nullptr;
  std::int32_t position = 0;
  void* query = nullptr;  ///< [batch, tokens, heads, head_dim], compute dtype
  /// The same turned to the position from which it looks at sinks; null: not wanted.
  void* sink_query = nullptr;
  /// That of a token without a cursor is min(its position, this); with one cursor->sink_position.
  std::int32_t last_sink_position = kUnlimited;
  KvView kv;  ///< of the compute dtype
  /// A step straight into a cache that stores the compute dtype: [batch, kv_heads]; the newest
  /// entry of a head goes to slot start + slot of its batch row, head_stride is not used. Null: a
  /// step's newest entry goes to slot 0.
  const HeadCursor* heads = nullptr;
};

/// Encodes the newest entry of every head into its slot, or among those that wait.
struct AppendArgs {
  KvView from;  ///< the newest entries, slot 0; compute dtype
  StoredView to;
  HeadShape shape;
  int batch = 0;
};

/// Encodes what stays of a prompt: entry i of a head, for i below its HeadCursor::entries, comes
/// from slot kept[batch row, kv_head, i] of `from` and becomes entry i, in slot i when packed.
/// HeadCursor::slot is not read.
struct StoreArgs {
  KvView from;                         ///< compute dtype
  const std::int32_t* kept = nullptr;  ///< [batch, kv_heads, kept_stride]; null: entry i is slot i
  std::int64_t kept_stride = 0;
  StoredView to;
  HeadShape shape;
  int batch = 0;
};

/// After a step's attention, for forms whose entries wait: packs what has become due and moves
/// HeadCursor::packed_keys and packed_values. Keys are packed `waiting_slots` at once when so many
/// wait (per_channel forms); values one at a time, the oldest, when all `waiting_slots` are taken.
struct SettleArgs {
  StoredView kv;
  HeadShape shape;
  int batch = 0;
};

/// The pages that a step reads of each head instead of all its entries.
struct PageView {
  const std::int32_t* pages = nullptr;  ///< [batch, kv_heads, count], ascending
  std::int32_t count = 0;  ///< pages listed for each head; those beyond its entries are -1
  std::int32_t page = 16;  ///< entries of a page
};

/// Attention of one new query per batch row over the entries of a cache.
struct AttendArgs {
  void* out = nullptr;               ///< [batch, heads, head_dim], compute dtype
  const void* query = nullptr;       ///< [batch, heads, head_dim], compute dtype
  const void* sink_query = nullptr;  ///< scores slots [0, sinks); null: `query` scores all
  int sinks = 0;
  StoredView kv;
  PageView pages{};  ///< pages.pages null: all entries
  HeadShape shape;
  int batch = 0;
  float scale = 1.0F;
  /// [batch, heads, kv.capacity]: scale x query . key of every entry seen, by slot; null: not
  /// wanted (not together with pages).
  float* scores = nullptr;
};

/// Causal attention of a chunk of a prompt over what it sees of all that comes before it and
/// itself.
struct PrefillAttendArgs {
  void* out = nullptr;               ///< [batch, tokens, heads, head_dim], compute dtype
  const void* query = nullptr;       ///< [batch, tokens, heads, head_dim], compute dtype
  const void* sink_query = nullptr;  ///< likewise; scores the sinks; null: `query` scores all
  Visibility sees{};
  KvView kv;  ///< slots [0, past + tokens) are filled, slot = position
  int past = 0;
  int tokens = 0;
  HeadShape shape;
  int batch = 0;
  float scale = 1.0F;
};

/// The move to the next position.
struct AdvanceArgs {
  StepCursor* cursor = nullptr;
  /// [count], moved by next_of(); heads that evict by scores are moved elsewhere.
  HeadCursor* heads = nullptr;
  int count = 0;
  /// The query looks at the sinks from the last position of the kept cache, entries - 1 of
  /// heads[0]; else from its text position.
  bool cache_positions = false;
};

/// out = activation(W norm(in) + b). One row at a time gives the same result as many only within
/// rounding; equal `rows` give equal results.
struct ProjectArgs {
  void* out =
      nullptr;  ///< [rows, features], `out_dtype`; features = linear.out, or half of it gated
  DType out_dtype = DType::kF32;  ///< the compute dtype, or kF32 for logits
  const float* in = nullptr;      ///< [rows, linear.in]
  Norm norm;
  Linear linear;
  Activation activation = Activation::kNone;
  int rows = 0;
};

/// inout += W in + b.
struct AddProjectArgs {
  float* inout = nullptr;    ///< [rows, linear.out], the residual stream
  const void* in = nullptr;  ///< [rows, linear.in], compute dtype
  Linear linear;
  int rows = 0;
};

/// Per row: the negative log-likelihood of the target and the arg-max (the lowest id among equals,
/// the last of all where no logit is a number).
struct ScoreArgs {
  const float* logits = nullptr;          ///< [rows, vocab]
  const std::int32_t* targets = nullptr;  ///< [rows]; a negative one yields 0
  float* nll = nullptr;                   ///< [rows]
  std::int32_t* best = nullptr;           ///< [rows]
  int rows = 0;
  int vocab = 0;
};

/// Per row: how far the distribution that `logits` stand for is from that of `reference`,
/// KL(reference || logits) = sum of p (ln p - ln q) over the whole vocabulary, in nats. Never
/// negative, 0 for equal rows.
struct CompareArgs {
  const float* reference = nullptr;  ///< [rows, vocab]
  const float* logits = nullptr;     ///< [rows, vocab]
  float* kl = nullptr;               ///< [rows]
  int rows = 0;
  int vocab = 0;
};

/// The largest sizes that the operations will be called with, so that scratch memory can be
/// planned.
struct WorkspaceShape {
  int batch = 1;  ///< rows of a step
  int rows = 1;   ///< rows of the largest ProjectArgs or AddProjectArgs
  int hidden = 0;
  int features = 0;  ///< widest linear.out
  HeadShape heads;
  std::int64_t entries = 0;       ///< most entries that a step or a prompt attends over
  std::int64_t scored_keys = 0;   ///< tokens of the longest prompt that Scoring works on
  std::int64_t scored_slots = 0;  ///< most slots of a head that Scoring::redundancy works on
  std::int64_t scored_pages = 0;  ///< most pages of a head that Scoring::choose_pages works on
};

/// Scratch memory of the operations; given back when destroyed. Its backend outlives it.
class Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  virtual ~Workspace() = default;
};

/// A recorded step that can be run again.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  virtual ~Graph() = default;
  virtual void launch() = 0;
  /// Kernels that a launch enqueues; 0 on the cpu, which enqueues none.
  [[nodiscard]] virtual std::size_t kernels() const = 0;
};

/// One device and the coarse operations that a model and a cache need of it.
///
/// Pointers in arguments belong to pool() or host_pool(). Operations are enqueued in order and may
/// return before they are done; synchronize() waits and reports what failed. Nothing allocates but
/// allocate calls, make_workspace() and capture().
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] virtual const DeviceInfo& device() const = 0;
  [[nodiscard]] virtual DType compute_dtype() const = 0;

  /// The device's memory.
  [[nodiscard]] virtual Pool& pool() = 0;
  /// Small memory that the host and the device both read and write (pinned and mapped on CUDA).
  [[nodiscard]] virtual Pool& host_pool() = 0;
  /// Memory that the whole process holds on the device, pools included; 0 when it cannot be told.
  [[nodiscard]] virtual std::size_t process_bytes() const = 0;

  /// Bytes that make_workspace() will hold for this shape.
  [[nodiscard]] virtual std::size_t workspace_bytes(const WorkspaceShape& shape) const = 0;
  /// Scratch memory for operations of up to `shape`; they work in it from now on. Throws
  /// OutOfMemory.
  [[nodiscard]] virtual std::unique_ptr<Workspace> make_workspace(const WorkspaceShape& shape) = 0;
  /// Operations work in `workspace`, one of this backend's, from now on; a graph is launched with
  /// the one that it was captured with.
  virtual void use_workspace(Workspace& workspace) = 0;

  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void project_qkv(const QkvArgs& args) = 0;
  virtual void append(const AppendArgs& args) = 0;
  virtual void attend(const AttendArgs& args) = 0;
  virtual void settle(const SettleArgs& args) = 0;
  virtual void prefill_attend(const PrefillAttendArgs& args) = 0;
  virtual void store(const StoreArgs& args) = 0;
  virtual void project(const ProjectArgs& args) = 0;
  virtual void add_project(const AddProjectArgs& args) = 0;
  virtual void score(const ScoreArgs& args) = 0;
  virtual void compare(const CompareArgs& args) = 0;
  virtual void advance(const AdvanceArgs& args) = 0;

  /// What selections need beside: observations, scores and choices of entries.
  [[nodiscard]] virtual Scoring& scoring() = 0;

  /// Records what `step` enqueues, executing nothing; every launch() enqueues it again. `step` has
  /// run once before, so that kernels are loaded and plans cached. On the cpu launch() calls
  /// `step`.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& step) = 0;

  /// Seconds from the start to the end of what `work` enqueues: between two events of the device,
  /// on the cpu of the host's clock. Waits for the end.
  [[nodiscard]] virtual double time(const std::function<void()>& work) = 0;

  /// Measures anew, in about a second at most; what it takes of pool() it gives back. Throws
  /// OutOfMemory where `sizes` promises more room than there is.
  [[nodiscard]] virtual Ceilings measure_ceilings(const CeilingSizes& sizes) = 0;
};

}  // namespace kvg::kernels
