#include "kernels/codec.h"

#include <array>
#include <bit>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/transform.h"
#include "tests/support/coded.h"

namespace kvg::kernels {
namespace {

using testing_support::coded;
using Floats = std::vector<float>;

const nlohmann::json& goldens() {
  static const nlohmann::json all = [] {
    std::ifstream file(KVG_CODEC_GOLDENS);
    return nlohmann::json::parse(file);
  }();
  return all;
}

Floats floats_of(const std::string& digits) {
  Floats floats;
  for (std::size_t at = 0; at < digits.size(); at += 8) {
    const auto bits = static_cast<std::uint32_t>(std::stoul(digits.substr(at, 8), nullptr, 16));
    floats.push_back(std::bit_cast<float>(bits));
  }
  return floats;
}

// "symmetric 8 64": code, bits, group.
Form form_of(const std::string& name) {
  std::istringstream words(name);
  std::string code;
  Form form;
  words >> code >> form.bits >> form.group;
  form.code = code == "symmetric"    ? Code::kSymmetric
              : code == "asymmetric" ? Code::kAsymmetric
              : code == "e4m3"       ? Code::kE4M3
                                     : Code::kNvfp4;
  return form;
}

// Equal as numbers: integer codes have one zero, so -0 may read back as 0.
void expect_equal(const Floats& got, const Floats& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i], want[i]) << what << ", channel " << i;
  }
}

TEST(Codec, ReadsBackWhatTheOraclesDo) {
  int compared = 0;
  for (const auto& [codec, vectors] : goldens().at("read").items()) {
    for (const auto& [name, want] : vectors.items()) {
      const Floats in = floats_of(goldens().at("vectors").at(name).get<std::string>());
      expect_equal(
          coded(form_of(codec), in), floats_of(want.get<std::string>()), codec + ", " + name);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 14 * 12);
}

TEST(Codec, HadamardReadsBackWhatTheOraclesDo) {
  for (const auto& [name, golden] : goldens().at("hadamard").items()) {
    Floats turned = floats_of(goldens().at("vectors").at(name).get<std::string>());
    const Floats want = floats_of(golden.at("transformed").get<std::string>());
    turn_entry(Transform::kHadamard, turned.data(), static_cast<int>(turned.size()));
    double error = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      error += std::pow(static_cast<double>(turned[i]) - static_cast<double>(want[i]), 2);
      norm += std::pow(static_cast<double>(want[i]), 2);
    }
    // Sums of 128 products in another order; of subnormals, in units of 2^-149.
    EXPECT_LE(std::sqrt(error), 1e-6 * std::sqrt(norm) + 0x1p-140) << name;
    expect_equal(coded({.code = Code::kAsymmetric, .bits = 4, .group = 32}, want),
                 floats_of(golden.at("read").get<std::string>()),
                 name);
  }
}

// ---- Worked out by hand from the definitions in form.h.

struct HandCase {
  Form form;
  Floats in;
  std::vector<unsigned> codes;
  Floats read;
};

// A group: `in`, then zeros.
void expect_codes(const HandCase& params, const std::string& what) {
  Floats in = params.in;
  in.resize(static_cast<std::size_t>(params.form.group == 0 ? 32 : params.form.group));
  const testing_support::CodedGroup group =
      testing_support::code_group(params.form, in.data(), static_cast<int>(in.size()));
  const Floats read = coded(params.form, in);
  for (std::size_t i = 0; i < params.in.size(); ++i) {
    EXPECT_EQ(group.codes[i], params.codes[i]) << what << ", channel " << i;
    EXPECT_EQ(read[i], params.read[i]) << what << ", channel " << i;
  }
}

TEST(Codec, E5M2) {
  // Units in the last place: 0.25 in [1, 2), 2^-16 below 2^-14; ties go to the even code.
  expect_codes({.form = {.code = Code::kE5M2, .bits = 8},
                .in = {1.0F, -1.1F, 1.125F, 1.375F, 6e4F, -1e6F, 0x1p-17F, 0x1.8p-16F, 0x1p-14F},
                .codes = {0x3c, 0xbc, 0x3c, 0x3e, 0x7b, 0xfb, 0x00, 0x02, 0x04},
                .read = {1.0F, -1.0F, 1.0F, 1.5F, 57344.0F, -57344.0F, 0.0F, 0x1p-15F, 0x1p-14F}},
               "no scale");
  // s = f16(1 / 57344) is subnormal: 293 units of 2^-24 (292.57).
  expect_codes({.form = {.code = Code::kE5M2, .bits = 8, .group = 32},
                .in = {1.0F, 0.5F},
                .codes = {0x7b, 0x77},
                .read = {57344.0F * 0x1.25p-16F, 28672.0F * 0x1.25p-16F}},
               "scaled");
}

TEST(Codec, ScaledE4M3) {
  // s = f16(896 / 448) = 2: 897 / 2 saturates in effect; 3 / 2 is exact.
  expect_codes({.form = {.code = Code::kE4M3, .bits = 8, .group = 64},
                .in = {896.0F, -3.0F, 0.0F},
                .codes = {0x7e, 0xbc, 0x00},
                .read = {896.0F, -3.0F, 0.0F}},
               "e4m3");
}

TEST(Codec, AbsMax) {
  // s = 2: q = round(x / 2 * 8 + 8), so the largest clips to 7 / 8 of itself.
  expect_codes({.form = {.code = Code::kAbsMax, .bits = 4, .group = 32},
                .in = {2.0F, -2.0F, 0.25F, 0.125F, 0.375F, -0.125F},
                .codes = {15, 0, 9, 8, 10, 8},
                .read = {1.75F, -2.0F, 0.25F, 0.0F, 0.5F, 0.0F}},
               "q4");
  expect_codes({.form = {.code = Code::kAbsMax, .bits = 8, .group = 32},
                .in = {-2.0F, 2.0F, 1.0F, 0.0078125F},
                .codes = {0, 255, 192, 128},
                .read = {-2.0F, 127.0F / 64.0F, 1.0F, 0.0F}},
               "q8");
}

TEST(Codec, Block8) {
  // d = 127 / 127 = 1; halves go away from zero.
  expect_codes({.form = {.code = Code::kBlock8, .bits = 8, .group = 32},
                .in = {127.0F, -127.0F, 0.5F, -0.5F, 1.5F, 2.49F},
                .codes = {255, 1, 129, 127, 130, 130},
                .read = {127.0F, -127.0F, 1.0F, -1.0F, 2.0F, 2.0F}},
               "q8_0");
  // It divides by d itself, 1 / 127, and multiplies by f16(d) = 0x1.02p-7 (0x1.020408p-7).
  expect_codes({.form = {.code = Code::kBlock8, .bits = 8, .group = 32},
                .in = {1.0F, 0.25F},
                .codes = {255, 160},
                .read = {127.0F * 0x1.02p-7F, 32.0F * 0x1.02p-7F}},
               "q8_0 of ones");
}

TEST(Codec, Block4) {
  // d = -8 / -8 = 1: q = trunc(x + 8.5). Of the equally large the first gives the sign.
  expect_codes({.form = {.code = Code::kBlock4, .bits = 4, .group = 32},
                .in = {-8.0F, 8.0F, 0.5F, -0.5F, -0.51F, 6.5F},
                .codes = {0, 15, 9, 8, 7, 15},
                .read = {-8.0F, 7.0F, 1.0F, 0.0F, -1.0F, 7.0F}},
               "negative first");
  expect_codes({.form = {.code = Code::kBlock4, .bits = 4, .group = 32},
                .in = {8.0F, -8.0F, 0.5F},
                .codes = {0, 15, 8},
                .read = {8.0F, -7.0F, 0.0F}},
               "positive first");
}

TEST(Codec, Mxfp4) {
  // max 5: s = 2^(2 - 2) = 1. max 7.9: s = 1 too, and it saturates at 6.
  expect_codes({.form = {.code = Code::kMxfp4, .bits = 4, .group = 32},
                .in = {7.9F, -5.0F, 2.5F, 1.75F, 0.25F, -0.75F},
                .codes = {7, 14, 4, 4, 0, 10},
                .read = {6.0F, -4.0F, 2.0F, 2.0F, 0.0F, -1.0F}},
               "mxfp4");
  expect_codes({.form = {.code = Code::kMxfp4, .bits = 4, .group = 32},
                .in = {0x1p-126F, 0x1p-127F},
                .codes = {4, 2},
                .read = {0x1p-126F, 0x1p-127F}},
               "the smallest scale, 2^-127");
  std::array<std::uint8_t, 4> stored = {0xff, 0xff, 0xff, 0xff};
  const Form form = {.code = Code::kMxfp4, .bits = 4, .group = 32};
  write_scale(form, stored.data(), 0, {.scale = 0.25F});
  EXPECT_EQ(stored[0], 125);
  EXPECT_EQ(stored[1], 0xff);
}

TEST(Codec, LloydKeepsTheNorm) {
  // Mean square 1 as it is: 16 times 1 and -1. The nearest of 3 bits is 0.756, so s = 1 / 0.756.
  Floats ones;
  for (int i = 0; i < 32; ++i) {
    ones.push_back(i % 2 == 0 ? 3.0F : -3.0F);
  }
  const Form form = {.code = Code::kLloyd, .bits = 3, .group = 32};
  const testing_support::CodedGroup group = testing_support::code_group(form, ones.data(), 32);
  EXPECT_EQ(group.codes[0], 5U);
  EXPECT_EQ(group.codes[1], 2U);
  EXPECT_EQ(group.scale.divisor, 3.0F);
  EXPECT_EQ(group.scale.scale, as_half(static_cast<float>(3.0 / 0.756)));
  const Floats read = coded(form, ones);
  EXPECT_NEAR(read[0], 3.0F, 3.0F * 0x1p-11F) << "a scale of 11 bits";
  EXPECT_EQ(read[1], -read[0]);
}

TEST(Codec, LloydLevelsAreTheNearest) {
  const std::array<double, 16> levels = {-2.7326,
                                         -2.069,
                                         -1.618,
                                         -1.2562,
                                         -0.9423,
                                         -0.6568,
                                         -0.388,
                                         -0.1284,
                                         0.1284,
                                         0.388,
                                         0.6568,
                                         0.9423,
                                         1.2562,
                                         1.618,
                                         2.069,
                                         2.7326};
  const Form form = {.code = Code::kLloyd, .bits = 4, .group = 128};
  for (unsigned code = 0; code < levels.size(); ++code) {
    EXPECT_EQ(level_of(form, code), static_cast<float>(levels[code]));
  }
  for (int i = -4000; i <= 4000; ++i) {
    const double x = i * 0.001 + 1e-5;  // never halfway
    unsigned best = 0;
    for (unsigned code = 1; code < levels.size(); ++code) {
      best = std::fabs(x - levels[code]) < std::fabs(x - levels[best]) ? code : best;
    }
    EXPECT_EQ(encode(form, static_cast<float>(x), {}), best) << x;
  }
}

TEST(Codec, ScalesSaturate) {
  const Floats large(32, 3e38F);
  for (const Form form : {Form{.code = Code::kSymmetric, .bits = 4, .group = 32},
                          Form{.code = Code::kAsymmetric, .bits = 4, .group = 32},
                          Form{.code = Code::kAbsMax, .bits = 4, .group = 32},
                          Form{.code = Code::kBlock8, .bits = 8, .group = 32},
                          Form{.code = Code::kLloyd, .bits = 4, .group = 32}}) {
    for (const float read : coded(form, large)) {
      EXPECT_TRUE(std::isfinite(read)) << static_cast<int>(form.code);
      EXPECT_GE(read, 65504.0F * 7.0F / 8.0F) << static_cast<int>(form.code);
    }
  }
}

TEST(Codec, ZeroesReadBackAsZeroes) {
  for (const Code code : {Code::kSymmetric,
                          Code::kAsymmetric,
                          Code::kAbsMax,
                          Code::kBlock8,
                          Code::kBlock4,
                          Code::kNvfp4,
                          Code::kMxfp4,
                          Code::kE4M3,
                          Code::kE5M2,
                          Code::kLloyd}) {
    const int bits = code == Code::kBlock8 || code == Code::kE4M3 || code == Code::kE5M2 ? 8 : 4;
    const Form form = {.code = code, .bits = bits, .group = 32};
    for (const float zero : {0.0F, -0.0F}) {
      EXPECT_EQ(coded(form, Floats(32, zero)), Floats(32, 0.0F)) << static_cast<int>(code);
    }
  }
}

TEST(Codec, ExtremesMergeInAnyOrder) {
  const Floats x = {1.0F, -3.0F, 3.0F, 0.5F, 3.0F, -3.0F, 2.0F, -1.0F};
  const Extremes whole = extremes_of(x.data(), 8);
  EXPECT_EQ(whole.largest, -3.0F);
  EXPECT_EQ(whole.square_sum, 1 + 9 + 9 + 0.25 + 9 + 9 + 4 + 1);
  for (int lanes = 2; lanes <= 8; lanes *= 2) {
    Extremes merged;
    for (int lane = lanes - 1; lane >= 0; --lane) {
      Extremes part;
      for (int i = lane; i < 8; i += lanes) {
        part.include(x[static_cast<std::size_t>(i)], i);
      }
      merged = merge(merged, part);
    }
    EXPECT_EQ(merged.min, -3.0F);
    EXPECT_EQ(merged.max, 3.0F);
    EXPECT_EQ(merged.largest, whole.largest);
    EXPECT_EQ(merged.largest_index, 1);
    EXPECT_EQ(merged.square_sum, whole.square_sum);
  }
}

TEST(Codec, CodesLieFromTheLowestBitsUp) {
  for (const int bits : {2, 3, 4, 8, 16, 32}) {
    const Form form = {.code = bits < 16 ? Code::kSymmetric : Code::kF32, .bits = bits};
    std::array<std::uint32_t, 16> row = {};
    for (int channel = 0; channel < 16; ++channel) {
      put_code(form, row.data(), channel, ~0U >> (32 - bits));
    }
    const auto mask = static_cast<unsigned>((std::uint64_t{1} << bits) - 1);
    for (int channel = 15; channel >= 0; --channel) {
      put_code(form, row.data(), channel, static_cast<unsigned>(channel * 7 + 1) & mask);
    }
    for (int channel = 0; channel < 16; ++channel) {
      EXPECT_EQ(code_at(form, row.data(), channel), static_cast<unsigned>(channel * 7 + 1) & mask);
    }
  }
  const Form three = {.code = Code::kLloyd, .bits = 3, .group = 8};
  std::array<std::uint8_t, 12> row = {};
  put_code(three, row.data(), 2, 5);
  EXPECT_EQ(row[0], 0x40) << "5 is 101: its lowest two bits end byte 0";
  EXPECT_EQ(row[1], 0x01);
}

TEST(Codec, PackedSizes) {
  // Bytes of a slot of 128 channels; kv_methods 2.0.5 and 2.38.
  const auto bytes = [](const Form& form) {
    return code_row_bytes(form, 128) + scale_row_bytes(form, 128);
  };
  EXPECT_EQ(bytes({}), 512U);
  EXPECT_EQ(bytes(native_form(DType::kBF16)), 256U);
  EXPECT_EQ(bytes({.code = Code::kSymmetric, .bits = 8, .group = 128}), 130U);
  EXPECT_EQ(bytes({.code = Code::kAsymmetric, .bits = 4, .group = 32}), 80U);
  EXPECT_EQ(bytes({.code = Code::kAsymmetric, .bits = 2, .group = 32}), 48U);
  EXPECT_EQ(bytes({.code = Code::kE4M3, .bits = 8}), 128U);
  EXPECT_EQ(bytes({.code = Code::kNvfp4, .bits = 4, .group = 16}), 72U);
  EXPECT_EQ(bytes({.code = Code::kMxfp4, .bits = 4, .group = 32}), 68U);
  EXPECT_EQ(bytes({.code = Code::kBlock4, .bits = 4, .group = 32}), 72U);
  EXPECT_EQ(bytes({.code = Code::kLloyd, .bits = 3, .group = 128}), 50U);
  const Form keys = {.code = Code::kAsymmetric, .bits = 2, .group = 32, .per_channel = true};
  EXPECT_EQ(32 * code_row_bytes(keys, 128) + scale_row_bytes(keys, 128), 32U * 48U);
}

}  // namespace
}  // namespace kvg::kernels
