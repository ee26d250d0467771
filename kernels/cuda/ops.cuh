#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/launch.cuh"

namespace kvg::kernels {

/// Most rows that the decode projections take.
inline constexpr int kMaxDecodeRows = 8;
/// Counts of theirs in the workspace: of ends of chains with posts, and of ends told, two in turn.
inline constexpr int kChainCounts = 3;

/// True when `rows` rows of `in` elements of `compute` fit the decode projections, which hold them
/// in shared memory.
[[nodiscard]] bool fits_decode(const Target& target, DType compute, int rows, int in);

/// out [rows, dim] of `compute` = norm(in [rows, dim]).
struct NormArgs {
  void* out = nullptr;
  const float* in = nullptr;
  Norm norm;
  int rows = 0;
  int dim = 0;
};
void normalize(const Target& target, DType compute, const NormArgs& args);

/// What follows a matrix product: bias, activation, conversion. `out` may be `in` when both have
/// the same type and the activation is not gated.
struct FinishArgs {
  void* out = nullptr;  ///< [rows, features], `out_dtype`
  DType out_dtype = DType::kF32;
  const void* in = nullptr;  ///< [rows, width], `in_dtype`
  DType in_dtype = DType::kF32;
  const float* bias = nullptr;  ///< [width], or null
  Activation activation = Activation::kNone;
  int rows = 0;
  int width = 0;  ///< features, or twice that when gated
};
void finish_product(const Target& target, const FinishArgs& args);

/// The rest of project_qkv after the product: bias, query and key norm, RoPE, and the new entries
/// into their slots. `product` is [batch * tokens, linear.out] of `compute`.
void place_qkv(const Target& target, DType compute, const QkvArgs& args, const void* product);

/// Scratch memory of decode attention.
[[nodiscard]] std::size_t attend_partial_bytes(const HeadShape& shape,
                                               int batch,
                                               std::int64_t entries);
/// `accompanied`: projections go beside it, which its blocks leave room for if they can. Returns
/// the shared memory that a block of each of its kernels takes then, else 0.
int decode_attend(
    const Target& target, DType compute, const AttendArgs& args, float* scratch, bool accompanied);

/// f16 and bf16, on the matrix units.
void flash_prefill_attend(const Target& target, const PrefillAttendArgs& args);
/// f32.
void plain_prefill_attend(const Target& target, const PrefillAttendArgs& args);

void embed_tokens(const Target& target, const EmbedArgs& args);
void append_entry(const Target& target, const AppendArgs& args);
void store_entries(const Target& target, DType compute, const StoreArgs& args);
void settle_entries(const Target& target, DType compute, const SettleArgs& args);
void score_rows(const Target& target, const ScoreArgs& args);
void compare_rows(const Target& target, const CompareArgs& args);
void advance_cursors(const Target& target, const AdvanceArgs& args);

}  // namespace kvg::kernels
