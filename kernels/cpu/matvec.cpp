#include "kernels/cpu/matvec.h"

#include <array>

#include "kernels/cpu/vector.h"

// Bound by the matrix: it is read once, in its own form, for all vectors. Four rows at a time share
// the loads of the vectors and the final sums over lanes.

namespace kvg::kernels::cpu {
namespace {

constexpr std::size_t kRowBlock = 4;

template <DType kType, bool kF16c>
KVG_INLINE Floats load_widened(const void* in, std::size_t index, std::size_t count) {
  if constexpr (kType == DType::kF32) {
    return load_lanes<Floats>(static_cast<const float*>(in) + index, count);
  } else {
    return widen_lanes<kType, kF16c>(
        load_lanes<Halves>(static_cast<const std::uint16_t*>(in) + index, count));
  }
}

template <DType kType, bool kF16c, std::size_t kVectors>
struct Block {
  const void* matrix;
  std::size_t starts[kRowBlock];  ///< of the rows
  const float* vectors;
  std::size_t in;
  Floats sums[kVectors][kRowBlock];

  KVG_INLINE void add(std::size_t k, std::size_t count) {
    Floats weights[kRowBlock];
    for (std::size_t i = 0; i < kRowBlock; ++i) {
      weights[i] = load_widened<kType, kF16c>(matrix, starts[i] + k, count);
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto x = load_lanes<Floats>(vectors + v * in + k, count);
      for (std::size_t i = 0; i < kRowBlock; ++i) {
        sums[v][i] += weights[i] * x;
      }
    }
  }
};

// Sums over `in` of four rows (the last one repeated when there are fewer) times kVectors vectors.
template <DType kType, bool kF16c, std::size_t kVectors>
KVG_INLINE void multiply_block(const MatvecArgs& args, std::size_t row, std::size_t first_vector) {
  const auto rows = static_cast<std::size_t>(args.rows);
  Block<kType, kF16c, kVectors> block = {.matrix = args.matrix,
                                         .starts = {},
                                         .vectors = args.vectors + first_vector * args.in,
                                         .in = args.in,
                                         .sums = {}};
  for (std::size_t i = 0; i < kRowBlock; ++i) {
    block.starts[i] = (row + i < rows ? row + i : rows - 1) * args.in;
  }
  std::size_t k = 0;
  for (; k + kLanes <= args.in; k += kLanes) {
    block.add(k, kLanes);
  }
  if (k < args.in) {
    block.add(k, args.in - k);
  }
  const auto& sums = block.sums;
  const std::size_t valid = rows - row < kRowBlock ? rows - row : kRowBlock;
  for (std::size_t v = 0; v < kVectors; ++v) {
    const Quad result = sums_of(sums[v][0], sums[v][1], sums[v][2], sums[v][3]);
    std::memcpy(
        args.out + (first_vector + v) * args.out_stride + row, &result, valid * sizeof(float));
  }
}

template <DType kType, bool kF16c = false>
KVG_INLINE void multiply(const MatvecArgs& args) {
  const auto vectors = static_cast<std::size_t>(args.vector_count);
  for (std::size_t row = 0; row < static_cast<std::size_t>(args.rows); row += kRowBlock) {
    std::size_t v = 0;
    for (; v + 4 <= vectors; v += 4) {
      multiply_block<kType, kF16c, 4>(args, row, v);
    }
    for (; v + 2 <= vectors; v += 2) {
      multiply_block<kType, kF16c, 2>(args, row, v);
    }
    if (v < vectors) {
      multiply_block<kType, kF16c, 1>(args, row, v);
    }
  }
}

template <DType kType, bool kF16c = false>
KVG_INLINE void widen_all(float* out, const void* in, std::size_t count) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store_lanes(out + i, load_widened<kType, kF16c>(in, i, kLanes));
  }
  if (i < count) {
    store_lanes(out + i, load_widened<kType, kF16c>(in, i, count - i), count - i);
  }
}

}  // namespace

KVG_CLONES void matvec(const MatvecArgs& args) {
  switch (args.dtype) {
    case DType::kF32:
      multiply<DType::kF32>(args);
      break;
    case DType::kF16:
      KVG_HAS_F16C ? multiply<DType::kF16, true>(args) : multiply<DType::kF16>(args);
      break;
    case DType::kBF16:
      multiply<DType::kBF16>(args);
      break;
  }
}

KVG_CLONES void widen(float* out, const void* in, DType dtype, std::size_t count) {
  switch (dtype) {
    case DType::kF32:
      widen_all<DType::kF32>(out, in, count);
      break;
    case DType::kF16:
      KVG_HAS_F16C ? widen_all<DType::kF16, true>(out, in, count)
                   : widen_all<DType::kF16>(out, in, count);
      break;
    case DType::kBF16:
      widen_all<DType::kBF16>(out, in, count);
      break;
  }
}

}  // namespace kvg::kernels::cpu
