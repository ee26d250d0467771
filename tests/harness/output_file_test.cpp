#include "harness/output_file.h"

#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <sys/file.h>
#include <unistd.h>

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

// A temporary file beside one that `file` would be written by.
fs::path temporary_of(fs::path file) {
  return file += ".tmp-kvgauge";
}

TEST_F(OutputFile, TakesAwayWhatAKillLeft) {
  const fs::path file = folder_ / "out.json";
  std::ofstream(temporary_of(file)) << "half of a docu";
  const Rewrite rewrite = rewrite_file(file);
  EXPECT_FALSE(fs::exists(temporary_of(file)));
  std::ofstream(temporary_of(file)) << "half of a longer document";
  rewrite("whole");
  EXPECT_EQ(read(file), "whole");
  EXPECT_FALSE(fs::exists(temporary_of(file)));
}

TEST_F(OutputFile, LeavesWhatAnotherIsWriting) {
  const fs::path file = folder_ / "out.json";
  const int other = ::open(temporary_of(file).c_str(), O_WRONLY | O_CREAT, 0666);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  drop_unfinished(file);
  EXPECT_TRUE(fs::exists(temporary_of(file)));
  ::close(other);
  drop_unfinished(file);
  EXPECT_FALSE(fs::exists(temporary_of(file)));
}

TEST_F(OutputFile, NeverWritesThroughALinkThatWasPutThere) {
  const fs::path file = folder_ / "out.json";
  std::ofstream(folder_ / "theirs") << "theirs";
  fs::create_symlink(folder_ / "theirs", temporary_of(file));
  expect_invalid([&] { static_cast<void>(rewrite_file(file)); }, "cannot write " + file.string());
  EXPECT_EQ(read(folder_ / "theirs"), "theirs");
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
