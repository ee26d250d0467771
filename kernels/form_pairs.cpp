#include "kernels/form_pairs.h"

#include <algorithm>
#include <string_view>

namespace kvg::kernels {
namespace {

std::string_view name_of(FormClass form_class) {
  switch (form_class) {
    case FormClass::kF32:
      return "f32";
    case FormClass::kF16:
      return "f16";
    case FormClass::kBF16:
      return "bf16";
    case FormClass::kE4M3:
      return "e4m3";
    case FormClass::kE5M2:
      return "e5m2";
    case FormClass::kInt8:
      return "int8";
    case FormClass::kInt4:
      return "int4";
    case FormClass::kInt2:
      return "int2";
    case FormClass::kTable4:
      return "4-bit levels";
    case FormClass::kTable3:
      return "3-bit levels";
    case FormClass::kPrunedF32:
      return "pruned f32";
    case FormClass::kPrunedF16:
      return "pruned f16";
    case FormClass::kPrunedBF16:
      return "pruned bf16";
    case FormClass::kChannelInt4:
      return "int4 per channel";
    case FormClass::kChannelInt2:
      return "int2 per channel";
  }
  return "unknown";
}

std::optional<FormClass> integer_class(const Form& form) {
  if (form.per_channel) {
    if (form.code != Code::kAsymmetric || form.bits > 4) {
      return std::nullopt;
    }
    return form.bits == 4 ? FormClass::kChannelInt4 : FormClass::kChannelInt2;
  }
  switch (form.bits) {
    case 8:
      return FormClass::kInt8;
    case 4:
      return FormClass::kInt4;
    case 2:
      return FormClass::kInt2;
    default:
      return std::nullopt;
  }
}

std::optional<FormClass> whole_class(const Form& form) {
  switch (form.code) {
    case Code::kF32:
      return FormClass::kF32;
    case Code::kF16:
      return FormClass::kF16;
    case Code::kBF16:
      return FormClass::kBF16;
    case Code::kE4M3:
      return FormClass::kE4M3;
    case Code::kE5M2:
      return FormClass::kE5M2;
    case Code::kNvfp4:
    case Code::kMxfp4:
      return FormClass::kTable4;
    case Code::kLloyd:
      return form.bits == 3 ? FormClass::kTable3 : FormClass::kTable4;
    case Code::kSymmetric:
    case Code::kAsymmetric:
    case Code::kAbsMax:
    case Code::kBlock8:
    case Code::kBlock4:
      break;
  }
  return integer_class(form);
}

}  // namespace

std::span<const FormPair> form_pairs() {
  return kFormPairs;
}

std::optional<FormClass> class_of(const Form& form, bool pruned) {
  if (!pruned) {
    return whole_class(form);
  }
  switch (form.code) {
    case Code::kF32:
      return FormClass::kPrunedF32;
    case Code::kF16:
      return FormClass::kPrunedF16;
    case Code::kBF16:
      return FormClass::kPrunedBF16;
    default:
      return std::nullopt;
  }
}

bool has_kernel(const Form& keys, const Form& values, bool pruned_keys) {
  const std::optional<FormClass> key_class = class_of(keys, pruned_keys);
  const std::optional<FormClass> value_class = class_of(values);
  if (!key_class || !value_class) {
    return false;
  }
  const FormPair pair = {*key_class, *value_class};
  return std::find(std::begin(kFormPairs), std::end(kFormPairs), pair) != std::end(kFormPairs);
}

std::string list_form_pairs() {
  std::string text;
  for (const FormPair& pair : kFormPairs) {
    text += text.empty() ? "" : ", ";
    text += std::string(name_of(pair.keys)) + "/" + std::string(name_of(pair.values));
  }
  return text;
}

}  // namespace kvg::kernels
