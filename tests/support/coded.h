#pragma once

#include <cstddef>
#include <vector>

#include "kernels/codec.h"

namespace kvg::testing_support {

/// The codes of the elements of one group, and its scale.
struct CodedGroup {
  std::vector<unsigned> codes;
  kernels::GroupScale scale;
};

inline CodedGroup code_group(const kernels::Form& form, const float* x, int count) {
  const kernels::Extremes extremes = kernels::extremes_of(x, count);
  CodedGroup group = {.codes = {}, .scale = kernels::scale_of(form, extremes, count)};
  double level_squares = 0.0;
  for (int i = 0; i < count; ++i) {
    group.codes.push_back(kernels::encode(form, x[i], group.scale));
    if (form.code == kernels::Code::kLloyd) {
      level_squares += kernels::level_square(form, group.codes.back());
    }
  }
  if (form.code == kernels::Code::kLloyd) {
    group.scale = kernels::with_levels(group.scale, extremes, level_squares);
  }
  return group;
}

/// What a vector reads back as, by codec.h alone: through its codes and its scale as they lie in
/// memory. The transform is left out.
[[nodiscard]] inline std::vector<float> coded(const kernels::Form& form,
                                              const std::vector<float>& x) {
  const auto channels = static_cast<int>(x.size());
  const int count = form.group == 0 ? channels : form.group;
  // Of the alignment that rows have.
  std::vector<std::uint32_t> codes(kernels::code_row_bytes(form, channels) / 4 + 1);
  std::vector<std::uint32_t> scales(kernels::scale_row_bytes(form, channels) / 4 + 1);
  for (int first = 0; first < channels; first += count) {
    const CodedGroup group = code_group(form, x.data() + first, count);
    kernels::write_scale(form, scales.data(), first / count, group.scale);
    for (int i = 0; i < count; ++i) {
      kernels::put_code(form, codes.data(), first + i, group.codes[static_cast<std::size_t>(i)]);
    }
  }
  std::vector<float> read;
  for (int i = 0; i < channels; ++i) {
    const kernels::GroupScale scale = kernels::read_scale(form, scales.data(), i / count);
    read.push_back(kernels::decode(form, kernels::code_at(form, codes.data(), i), scale));
  }
  return read;
}

}  // namespace kvg::testing_support
