#pragma once

#include <string>
#include <vector>

#include "kernels/form_pairs.h"

namespace kvg::kernels {

/// Keys and values as one cache stores them.
struct FormCase {
  std::string name;
  Form keys;
  Form values;
  int waiting_keys = 0;  ///< waiting slots; 0: keys never wait
  int waiting_values = 0;
  int pruned = 0;  ///< channels of every eight of a key that are not stored

  [[nodiscard]] bool waits() const { return waiting_keys > 0 || waiting_values > 0; }
  [[nodiscard]] int key_channels(int head_dim) const { return head_dim - head_dim / 8 * pruned; }
};

/// Both sides alike.
[[nodiscard]] inline FormCase alike(const std::string& name, const Form& form) {
  return {.name = name, .keys = form, .values = form};
}

/// Every code, transform and pairing that attention reads, for heads of `head_dim` channels (a
/// multiple of 64).
[[nodiscard]] inline std::vector<FormCase> form_cases(int head_dim) {
  const auto integer = [](Code code, int bits, int group, Transform transform = Transform::kNone) {
    return Form{.code = code, .bits = bits, .group = group, .transform = transform};
  };
  const auto per_channel = [](int bits) {
    return Form{.code = Code::kAsymmetric, .bits = bits, .group = 32, .per_channel = true};
  };
  const Form f32 = native_form(DType::kF32);
  const Form f16 = native_form(DType::kF16);
  const Form bf16 = native_form(DType::kBF16);
  const Form int8 = integer(Code::kSymmetric, 8, head_dim);
  const Form int4 = integer(Code::kAsymmetric, 4, 32);
  const Form int2 = integer(Code::kAsymmetric, 2, 32);
  const Form e4m3 = {.code = Code::kE4M3, .bits = 8};
  const Form q4 = integer(Code::kAbsMax, 4, 32, Transform::kEvenOdd);
  const Form q8 = integer(Code::kAbsMax, 8, 32, Transform::kEvenOdd);
  const Form lloyd3 = integer(Code::kLloyd, 3, head_dim, Transform::kSignedHadamard);
  const Form lloyd4 = integer(Code::kLloyd, 4, head_dim, Transform::kSignedHadamard);
  std::vector<FormCase> all = {
      alike("f32", f32),
      alike("f16", f16),
      alike("bf16", bf16),
      alike("e4m3", e4m3),
      alike("e4m3_scaled", integer(Code::kE4M3, 8, head_dim)),
      alike("e5m2", {.code = Code::kE5M2, .bits = 8}),
      alike("e5m2_scaled", integer(Code::kE5M2, 8, head_dim)),
      alike("int8", int8),
      alike("int8_groups", integer(Code::kSymmetric, 8, 32)),
      alike("int8_asymmetric", integer(Code::kAsymmetric, 8, 64)),
      alike("int4", int4),
      alike("int4_symmetric", integer(Code::kSymmetric, 4, 64)),
      alike("int2", int2),
      alike("int2_symmetric", integer(Code::kSymmetric, 2, 32)),
      alike("exllama_q4", q4),
      alike("exllama_q8", q8),
      {.name = "exllama_q6", .keys = q8, .values = q4},
      alike("q8_0", integer(Code::kBlock8, 8, 32)),
      alike("q4_0", integer(Code::kBlock4, 4, 32)),
      alike("nvfp4", integer(Code::kNvfp4, 4, 16)),
      alike("mxfp4", integer(Code::kMxfp4, 4, 32)),
      {.name = "int8_int4", .keys = int8, .values = int4},
      {.name = "e4m3_int4", .keys = e4m3, .values = int4},
      {.name = "f32_int4", .keys = f32, .values = int4},
      {.name = "f16_int4", .keys = f16, .values = int4},
      {.name = "bf16_int4", .keys = bf16, .values = int4},
      {.name = "pruned_f32", .keys = f32, .values = f32, .waiting_keys = 512, .pruned = 3},
      {.name = "pruned_f16", .keys = f16, .values = f16, .waiting_keys = 512, .pruned = 3},
      {.name = "pruned_bf16", .keys = bf16, .values = bf16, .waiting_keys = 512, .pruned = 3},
      {.name = "kivi4",
       .keys = per_channel(4),
       .values = int4,
       .waiting_keys = 128,
       .waiting_values = 129},
      {.name = "kivi2",
       .keys = per_channel(2),
       .values = int2,
       .waiting_keys = 128,
       .waiting_values = 129},
  };
  if ((head_dim & (head_dim - 1)) == 0) {
    all.push_back(alike("lloyd3", lloyd3));
    all.push_back(alike("lloyd4", lloyd4));
    all.push_back(alike("hadamard_int4", integer(Code::kAsymmetric, 4, 32, Transform::kHadamard)));
  }
  return all;
}

}  // namespace kvg::kernels
