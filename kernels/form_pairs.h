#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "kernels/form.h"

namespace kvg::kernels {

/// How attention reads a form: forms of one class differ in numbers alone (group, scale, offset,
/// levels, transform). kInt: codes that read as q x + y, kTable: codes that name a level. kPruned:
/// native keys of which some channels are stored. kChannel: scales along slots (KIVI's keys).
enum class FormClass : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kE4M3,
  kE5M2,
  kInt8,
  kInt4,
  kInt2,
  kTable4,
  kTable3,
  kPrunedF32,
  kPrunedF16,
  kPrunedBF16,
  kChannelInt4,
  kChannelInt2
};
inline constexpr int kFormClasses = static_cast<int>(FormClass::kChannelInt2) + 1;

/// The classes of the keys and of the values of one layer.
struct FormPair {
  FormClass keys = FormClass::kF32;
  FormClass values = FormClass::kF32;

  friend constexpr bool operator==(const FormPair&, const FormPair&) = default;
};

/// The pairs that attention reads. On CUDA each is a kernel of its own, which is why not all are
/// here; the cpu keeps to the same table, so that a spec means the same on both.
inline constexpr FormPair kFormPairs[] = {
    {FormClass::kF32, FormClass::kF32},          {FormClass::kF16, FormClass::kF16},
    {FormClass::kBF16, FormClass::kBF16},        {FormClass::kE4M3, FormClass::kE4M3},
    {FormClass::kE5M2, FormClass::kE5M2},        {FormClass::kInt8, FormClass::kInt8},
    {FormClass::kInt4, FormClass::kInt4},        {FormClass::kInt2, FormClass::kInt2},
    {FormClass::kTable4, FormClass::kTable4},    {FormClass::kTable3, FormClass::kTable3},
    {FormClass::kInt8, FormClass::kInt4},        {FormClass::kE4M3, FormClass::kInt4},
    {FormClass::kF32, FormClass::kInt4},         {FormClass::kF16, FormClass::kInt4},
    {FormClass::kBF16, FormClass::kInt4},        {FormClass::kPrunedF32, FormClass::kF32},
    {FormClass::kPrunedF16, FormClass::kF16},    {FormClass::kPrunedBF16, FormClass::kBF16},
    {FormClass::kChannelInt4, FormClass::kInt4}, {FormClass::kChannelInt2, FormClass::kInt2},
};

[[nodiscard]] std::span<const FormPair> form_pairs();

/// Nothing for forms that no kernel reads, whatever they are paired with.
[[nodiscard]] std::optional<FormClass> class_of(const Form& form, bool pruned = false);

/// True when attention reads keys and values of these forms together.
[[nodiscard]] bool has_kernel(const Form& keys, const Form& values, bool pruned_keys = false);

/// "f32/f32, f16/f16, ...", keys first.
[[nodiscard]] std::string list_form_pairs();

}  // namespace kvg::kernels
