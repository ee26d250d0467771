#include "kernels/core/sha256.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>

#include "kernels/core/error.h"
#include "tests/support/expect_throw.h"

namespace kvg {
namespace {

// The examples of FIPS 180-4.
constexpr const char* kOfNothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kOfMillion =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

std::filesystem::path temporary(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

TEST(Sha256, KnownVectors) {
  EXPECT_EQ(sha256_hex(""), kOfNothing);
  EXPECT_EQ(sha256_hex("abc"), kOfAbc);
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')), kOfMillion);
}

TEST(Sha256, FilesInPieces) {
  const std::filesystem::path file = temporary("kvg_sha256_test.bin");
  const std::string text(3'000'001, 'x');
  std::ofstream(file, std::ios::binary) << text;
  EXPECT_EQ(sha256_file(file), sha256_hex(text));
  std::filesystem::resize_file(file, 0);
  EXPECT_EQ(sha256_file(file), kOfNothing);
  std::filesystem::remove(file);
}

TEST(Sha256, NamesAFileItCannotRead) {
  testing_support::expect_throw<DataError>([] { (void)sha256_file(temporary("no_such_file")); },
                                           "no_such_file");
  testing_support::expect_throw<DataError>([] { (void)sha256_file(testing::TempDir()); },
                                           "cannot read ");
}

}  // namespace
}  // namespace kvg
