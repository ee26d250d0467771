#include "model/safetensors.h"

#include <gtest/gtest.h>

#include "tests/model/model_files.h"
#include "tests/support/expect_throw.h"

namespace kvg::model {
namespace {

using testing_support::expect_throw;
using testing_support::safetensors_bytes;
using testing_support::safetensors_of;
using testing_support::TempFolder;

class Safetensors : public testing::Test {
 protected:
  void expect_refused(const std::string& bytes, std::string_view message) {
    const auto file = folder_.write("model.safetensors", bytes);
    const auto open = [&] { const SafetensorsFile opened(file); };
    expect_throw<DataError>(open, message);
    expect_throw<DataError>(open, file.string());
  }

  // One tensor "a" described by `entry`, over 16 bytes of data.
  void expect_entry_refused(const std::string& entry, std::string_view message) {
    expect_refused(safetensors_bytes("{\"a\":" + entry + "}", 16), message);
  }

  TempFolder folder_;
};

TEST_F(Safetensors, ReadsWhatIsThere) {
  const SafetensorsFile file(
      folder_.write("model.safetensors", safetensors_of({{"a", {2, 3}, 5.0F}, {"b", {4}, 50.0F}})));
  const TensorEntry* b = file.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape, std::vector<std::int64_t>{4});
  EXPECT_EQ(b->weight_dtype(), DType::kF32);
  float last = 0.0F;
  std::memcpy(&last, file.data(*b) + 12, sizeof(last));
  EXPECT_EQ(last, 53.0F);
  // Pages that were given back read the same again.
  file.give_back(*b);
  std::memcpy(&last, file.data(*b) + 12, sizeof(last));
  EXPECT_EQ(last, 53.0F);
  EXPECT_EQ(file.find("c"), nullptr);
}

TEST_F(Safetensors, TakesMetadataEmptyTensorsAndTypesThatNoModelNeeds) {
  const SafetensorsFile file(folder_.write(
      "model.safetensors",
      safetensors_bytes(R"({"__metadata__":{"format":"pt"},)"
                        R"("none":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},)"
                        R"("mask":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}})",
                        1)));
  EXPECT_EQ(file.find("mask")->weight_dtype(), std::nullopt);
  EXPECT_EQ(file.find("none")->bytes, 0U);
  EXPECT_EQ(file.find("__metadata__"), nullptr);
}

TEST_F(Safetensors, RefusesAFileThatIsMissingOrShort) {
  expect_throw<DataError>([&] { const SafetensorsFile file(folder_.path() / "none.safetensors"); },
                          "none.safetensors: missing or not readable");
  expect_throw<DataError>([&] { const SafetensorsFile file(folder_.path()); },
                          "missing or not readable");
  expect_refused("1234567", "7 bytes are too few for a safetensors file");
  expect_refused("", "0 bytes are too few for a safetensors file");
}

TEST_F(Safetensors, RefusesAHeaderBeyondTheFile) {
  std::string bytes = safetensors_bytes("{}", 0);
  bytes[0] = 3;
  expect_refused(bytes, "header length 3 is beyond the file: 2 bytes follow it");
  bytes[7] = '\x7F';
  expect_refused(bytes, "header length 9151314442816847875 is beyond the file: 2 bytes follow it");
}

TEST_F(Safetensors, RefusesAHeaderThatIsNoJsonObject) {
  expect_refused(safetensors_bytes("{\"a\":", 0), "the header is not valid JSON");
  expect_refused(safetensors_bytes("[1]", 0), "the header is not a JSON object");
  expect_refused(
      safetensors_bytes("{\"a\":" + std::string(9999, '[') + std::string(9999, ']') + "}", 0),
      "the header is nested too deep");
  expect_refused(safetensors_bytes("{\"a\xFF\":1}", 0), "the header is not valid JSON");
}

TEST_F(Safetensors, RefusesATensorListedTwice) {
  const std::string entry = R"({"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  const std::string other = R"({"dtype":"U8","shape":[8],"data_offsets":[8,16]})";
  expect_refused(safetensors_bytes("{\"a\":" + entry + ",\"a\":" + other + "}", 16),
                 "tensor \"a\": listed twice");
}

TEST_F(Safetensors, RefusesBadTypes) {
  expect_entry_refused(R"({"dtype":"F33","shape":[4],"data_offsets":[0,16]})",
                       "tensor \"a\": unknown dtype \"F33\"");
  expect_entry_refused(R"({"shape":[4],"data_offsets":[0,16]})", "tensor \"a\": dtype is missing");
  expect_entry_refused("7", "tensor \"a\": dtype is missing");
}

TEST_F(Safetensors, RefusesBadShapes) {
  expect_entry_refused(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})",
                       "shape [-4] holds a size that is no number from 0 to 2^40");
  expect_entry_refused(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,16]})",
                       "shape [1.5] holds a size");
  expect_entry_refused(R"({"dtype":"F32","shape":4,"data_offsets":[0,16]})",
                       "shape is missing or not a list");
  expect_entry_refused(
      R"({"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,16]})",
      "shape [1099511627776, 1099511627776] is too large");
}

TEST_F(Safetensors, RefusesBadOffsets) {
  expect_entry_refused(R"({"dtype":"F32","shape":[4],"data_offsets":[8,24]})",
                       "data_offsets [8,24] end beyond the file's 16 bytes of data");
  expect_entry_refused(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})",
                       "data_offsets [16,0] are reversed");
  expect_entry_refused(R"({"dtype":"F32","shape":[4],"data_offsets":[0,8]})",
                       "F32 [4] needs 16 bytes, data_offsets give 8");
  expect_entry_refused(R"({"dtype":"F32","shape":[4],"data_offsets":[-16,0]})",
                       "data_offsets is not a pair of numbers from 0 up");
  expect_entry_refused(R"({"dtype":"F32","shape":[4]})", "data_offsets is not a pair");
}

TEST_F(Safetensors, RefusesTensorsThatOverlap) {
  expect_refused(safetensors_bytes(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                                   R"("b":{"dtype":"U8","shape":[8],"data_offsets":[7,15]}})",
                                   16),
                 "tensor \"b\": overlaps tensor \"a\"");
}

TEST_F(Safetensors, RefusesTruncatedData) {
  std::string bytes = safetensors_of({{"a", {4}, 0.0F}});
  bytes.pop_back();
  expect_refused(bytes, "data_offsets [0,16] end beyond the file's 15 bytes of data");
}

}  // namespace
}  // namespace kvg::model
