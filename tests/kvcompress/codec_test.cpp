#include "kvcompress/codec.h"

#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "kvcompress/policy.h"
#include "kvcompress/storage.h"
#include "tests/support/expect_throw.h"

namespace kvg::kvcompress {
namespace {

using kernels::Code;
using kernels::Form;
using kernels::Transform;
using testing_support::expect_invalid;

Codec codec_of(std::string_view text, Feed feed = Feed::kSteps) {
  return parse_policy(text, feed).codec;
}

void expect_refused(std::string_view text, int head_dim, std::string_view message) {
  expect_invalid([&] { check_codec(codec_of(text, Feed::kPrompt), head_dim, DType::kF32); },
                 message);
}

TEST(FormOf, NativeIsTheComputeType) {
  const Codec native;
  EXPECT_EQ(form_of(native.keys, 64, DType::kF32), (Form{.code = Code::kF32, .bits = 32}));
  EXPECT_EQ(form_of(native.keys, 64, DType::kBF16), (Form{.code = Code::kBF16, .bits = 16}));
  EXPECT_EQ(form_of(codec_of("f16").values, 64, DType::kF32),
            (Form{.code = Code::kF16, .bits = 16}));
}

TEST(FormOf, AWholeHeadIsOneGroup) {
  const Form form{.code = Code::kSymmetric, .bits = 8, .group = 80};
  EXPECT_EQ(form_of(codec_of("int8").keys, 80, DType::kF32), form);
  EXPECT_EQ(form_of(codec_of("int8:group=40").keys, 80, DType::kF32).group, 40);
  EXPECT_EQ(form_of(codec_of("fp8:scale=dynamic,format=e5m2").values, 64, DType::kF32),
            (Form{.code = Code::kE5M2, .bits = 8, .group = 64}));
  EXPECT_EQ(form_of(codec_of("fp8").values, 64, DType::kF32),
            (Form{.code = Code::kE4M3, .bits = 8, .group = 0}));
}

TEST(FormOf, SidesDiffer) {
  const Codec kivi = codec_of("kivi2:group=64,residual=128");
  EXPECT_EQ(form_of(kivi.keys, 64, DType::kF32),
            (Form{.code = Code::kAsymmetric, .bits = 2, .group = 64, .per_channel = true}));
  EXPECT_EQ(form_of(kivi.values, 64, DType::kF32),
            (Form{.code = Code::kAsymmetric, .bits = 2, .group = 64}));
  EXPECT_EQ(kivi.keys.waiting, 128);
  EXPECT_EQ(kivi.values.waiting, 129) << "the newest comes on top";
  const Codec q6 = codec_of("q6");
  EXPECT_EQ(q6.keys.form.bits, 8);
  EXPECT_EQ(q6.values.form.bits, 4);
  EXPECT_EQ(q6.values.form.transform, Transform::kEvenOdd);
}

TEST(FormOf, BitsAndGroupsOfTheOthers) {
  const auto keys = [](const char* text) { return form_of(codec_of(text).keys, 64, DType::kF32); };
  EXPECT_EQ(keys("int2"), (Form{.code = Code::kAsymmetric, .bits = 2, .group = 32}));
  EXPECT_EQ(keys("int4:mode=symmetric"), (Form{.code = Code::kSymmetric, .bits = 4, .group = 32}));
  EXPECT_EQ(keys("hadamard_int4").transform, Transform::kHadamard);
  EXPECT_EQ(keys("q4_0"), (Form{.code = Code::kBlock4, .bits = 4, .group = 32}));
  EXPECT_EQ(keys("q8_0"), (Form{.code = Code::kBlock8, .bits = 8, .group = 32}));
  EXPECT_EQ(keys("nvfp4"), (Form{.code = Code::kNvfp4, .bits = 4, .group = 16}));
  EXPECT_EQ(keys("mxfp4"), (Form{.code = Code::kMxfp4, .bits = 4, .group = 32}));
  EXPECT_EQ(
      keys("turbo3"),
      (Form{
          .code = Code::kLloyd, .bits = 3, .group = 64, .transform = Transform::kSignedHadamard}));
}

TEST(ChannelsOf, PrunedKeysFillWholeWords) {
  // 64 - floor(0.4 x 64) = 39, up to a multiple of 8.
  EXPECT_EQ(channels_of(codec_of("think", Feed::kPrompt).keys, 64), 40);
  EXPECT_EQ(channels_of(codec_of("think", Feed::kPrompt).values, 64), 64);
  EXPECT_EQ(channels_of(codec_of("think:pruned=0.5", Feed::kPrompt).keys, 64), 32);
  EXPECT_EQ(channels_of(codec_of("think:pruned=0.99", Feed::kPrompt).keys, 64), 8);
  EXPECT_EQ(channels_of(codec_of("think:pruned=0.01", Feed::kPrompt).keys, 64), 64);
  EXPECT_EQ(channels_of(codec_of("int4").keys, 64), 64);
}

TEST(LayOutLayer, PrunedKeysHoldRowsOfThePromptAlone) {
  const CacheShape shape{.layers = 1,
                         .batch = 2,
                         .heads = 4,
                         .kv_heads = 2,
                         .head_dim = 64,
                         .tokens = 150,
                         .prompt = 100};
  const LayerLayout layout = lay_out_layer(parse_policy("think", Feed::kPrompt), shape, 0);
  // Of each head: 100 - 32 keys of 40 channels, 32 + 50 whole ones, 150 values, a list of channels.
  EXPECT_EQ(layout.bytes, 4U * (68 * 40 * 4 + 82 * 64 * 4 + 150 * 64 * 4 + 40 * 2));
}

TEST(CheckCodec, RefusesHeadsThatDoNotFit) {
  expect_refused("int4:group=48",
                 64,
                 "group=48 does not divide keys of head_dim 64; allowed: a divisor of it");
  expect_refused("baseline+k=int8,v=int4,v.group=48", 64, "group=48 does not divide values");
  EXPECT_THROW(static_cast<void>(codec_of("think:pruned=1", Feed::kPrompt)), InvalidArgument);
  expect_refused("kivi2:group=48,residual=48", 64, "group=48 does not divide values");
  expect_refused("hadamard_int8",
                 80,
                 "a Walsh-Hadamard transform cannot turn keys of head_dim 80; allowed: a power of "
                 "two");
  expect_refused("turbo4", 80, "allowed: a power of two");
  expect_refused(
      "q4", 80, "the exllamav2 forms cannot store keys of head_dim 80; allowed: a multiple of 64");
  expect_refused("kivi2:group=32,residual=48", 64, "residual=48 is no multiple of group=32");
  EXPECT_NO_THROW(check_codec(codec_of("q4"), 128, DType::kF32));
  EXPECT_NO_THROW(check_codec(codec_of("int8"), 80, DType::kF32));
}

TEST(CheckCodec, RefusesWaitingValuesBesideOtherKeys) {
  expect_refused("baseline+k=int4,v=kivi4", 64, "wait to be packed");
  expect_refused("baseline+k=f32,v=kivi4", 64, "allowed beside them: k=kivi4 or k=kivi2");
}

TEST(CheckCodec, RefusesPairsThatNothingReadsListingTheOthers) {
  const char* text = "baseline+k=int4,v=int8";
  expect_refused(text,
                 64,
                 "no attention kernel reads keys and values as k=int4,k.group=32,k.mode=asymmetric,"
                 "v=int8,v.group=0,v.mode=symmetric; pairs that have one: f32/f32, f16/f16");
  expect_refused("baseline+k=f16,v=bf16", 64, "pairs that have one: ");
  EXPECT_NO_THROW(check_codec(codec_of("baseline+k=int8,v=int4"), 64, DType::kF32));
  EXPECT_NO_THROW(check_codec(codec_of("baseline+k=fp8,v=int4"), 64, DType::kF32));
}

TEST(CheckPolicy, NamesThePolicyAsGiven) {
  const Policy policy = parse_policy("window_8+int4:group=48");
  expect_invalid(
      [&] {
        check_policy(policy, 2, {4, 2, 64}, DType::kF32);
      },
      "policy window_8+int4:group=48: group=48 does not divide");
  EXPECT_NO_THROW(check_policy(parse_policy("window_8+int4"), 2, {4, 2, 64}, DType::kF32));
}

TEST(MakeCodec, RefusesWhatIsMissingOrStrange) {
  const auto refused = [](const char* text, const char* message) {
    expect_invalid([&] { (void)parse_policy(text); }, message);
  };
  refused("baseline+k=int8",
          "a codec for keys and values apart needs both, k=NAME,v=NAME; v= is missing");
  refused("baseline+v=int8", "k= is missing");
  refused("baseline+k=int8,v=int4,group=32",
          "a codec for keys and values apart takes k=, v=, k.NAME= and v.NAME=; not \"group\"");
  refused("baseline+k=nope,v=int4", "no codec named \"nope\"; known: f32, f16");
  refused("baseline+k=int8,v=int4,k.bits=3",
          "codec int8 has no parameter \"bits\"; it takes: group, mode");
  refused("int4:group=257", "codec int4: group=257 is not allowed; group is a whole number");
  refused("fp8:format=e3m4", "format is e4m3|e5m2");
  refused("q4:group=32", "codec q4 has no parameter \"group\"; it takes: none");
  refused("baseline+baseline", "no codec named \"baseline\"");
}

TEST(Codecs, SayWhatTheyAreUnderNamesOfTheirOwn) {
  for (const CodecInfo& info : codecs()) {
    EXPECT_FALSE(info.summary.empty()) << info.name;
    EXPECT_EQ(find_codec(info.name)->name, info.name);
    for (const SelectionInfo& selection : selections()) {
      EXPECT_NE(selection.name, info.name);
    }
    for (const ParamInfo& param : info.params) {
      EXPECT_FALSE(param.help.empty()) << info.name << ' ' << param.name;
    }
  }
  EXPECT_EQ(find_codec("int5"), nullptr);
}

TEST(Codecs, EveryOneFitsHeadsOf64And128) {
  for (const CodecInfo& info : codecs()) {
    for (const int head_dim : {64, 128}) {
      EXPECT_NO_THROW(check_codec(codec_of(info.name, Feed::kPrompt), head_dim, DType::kF32))
          << info.name;
    }
  }
}

}  // namespace
}  // namespace kvg::kvcompress
