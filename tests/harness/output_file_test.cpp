#include "harness/output_file.h"

#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_invalid;

class OutputFile : public testing::Test {
 protected:
  OutputFile()
      : folder_(fs::path(testing::TempDir()) /
                ("kvg_output_" +
                 std::string(testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string read(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  fs::path folder_;
};

TEST_F(OutputFile, ReplacesTheFileAndLeavesNothingBeside) {
  const fs::path file = folder_ / "out.json";
  const Rewrite rewrite = rewrite_file(file);
  EXPECT_FALSE(fs::exists(file));
  rewrite("a longer first version");
  rewrite("second");
  EXPECT_EQ(read(file), "second");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(OutputFile, WritesBehindALink) {
  const fs::path file = folder_ / "real";
  std::ofstream(file) << "old";
  fs::create_symlink(file, folder_ / "link");
  rewrite_file(folder_ / "link")("new");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read(file), "new");
}

TEST_F(OutputFile, WritesToADeviceWithoutReplacingIt) {
  rewrite_file("/dev/null")("gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(OutputFile, RefusesAFolderAndAMissingOne) {
  expect_invalid([this] { check_writable(folder_); }, "it is a folder");
  expect_invalid([this] { check_writable(folder_ / "no" / "out.json"); },
                 "there is no folder " + (folder_ / "no").string());
  expect_invalid([] { check_writable(""); }, "without a name");
}

TEST_F(OutputFile, FindsByTryingWhatPermissionsDoNotTell) {
  expect_invalid([this] { check_writable(folder_ / std::string(300, 'n')); }, "File name too long");
  expect_invalid([] { check_writable("/proc/kvgauge.json"); }, "cannot write /proc/kvgauge.json: ");
  fs::create_symlink(folder_ / "nothing", folder_ / "link");
  expect_invalid([this] { check_writable(folder_ / "link"); },
                 "it is a link to a file that does not exist");
  // The name itself fits, the one of the temporary file beside it does not.
  expect_invalid([this] { static_cast<void>(rewrite_file(folder_ / std::string(253, 'n'))); },
                 "File name too long");
}

TEST_F(OutputFile, CheckingLeavesFilesAsTheyWere) {
  const fs::path file = folder_ / "old";
  std::ofstream(file) << "content";
  check_writable(file);
  check_writable(folder_ / "new");
  EXPECT_EQ(read(file), "content");
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

}  // namespace
}  // namespace kvg::harness
