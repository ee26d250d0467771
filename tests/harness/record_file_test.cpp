#include "harness/record_file.h"

#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing_support::expect_invalid;
using testing_support::expect_throw;

class RecordLines : public testing::Test {
 protected:
  RecordLines()
      : file_(fs::path(testing::TempDir()) /
              ("kvg_record_file_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    fs::remove(file_);
  }
  void TearDown() override { fs::remove(file_); }

  void write(std::string_view text) const { std::ofstream(file_, std::ios::binary) << text; }

  [[nodiscard]] std::string read() const {
    std::ifstream stream(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  fs::path file_;
};

TEST_F(RecordLines, AppendsToWhatIsThere) {
  RecordFile(file_).append({{"a", 1}});
  EXPECT_EQ(read(), "{\"a\":1}\n");
  RecordFile again(file_);
  again.append({{"b", 2}});
  EXPECT_EQ(read(), "{\"a\":1}\n{\"b\":2}\n");
  EXPECT_EQ(again.read(), (std::vector<Json>{{{"a", 1}}, {{"b", 2}}}));
}

TEST_F(RecordLines, DropsALineThatWasCutShortAtAnyByte) {
  const std::string first = "{\"a\":\"" + std::string(100'000, 'x') + "\"}\n";
  const std::string second = "{\"b\":{\"c\":[1,2]}}";
  for (std::size_t kept = 0; kept < second.size(); ++kept) {
    write(first + second.substr(0, kept));
    RecordFile(file_).append({{"d", 4}});
    EXPECT_EQ(read(), first + "{\"d\":4}\n") << kept;
  }
  write(first + second);
  RecordFile(file_).append({{"d", 4}});
  EXPECT_EQ(read(), first + second + "\n{\"d\":4}\n") << "it lacked its end alone";
}

TEST_F(RecordLines, DropsALongLineThatWasCutShort) {
  write("{\"a\":\"" + std::string(200'000, 'x'));
  EXPECT_TRUE(RecordFile(file_).read().empty());
  EXPECT_EQ(read(), "");
}

TEST_F(RecordLines, LeavesAFileOfSomebodyElseAsItIs) {
  write("my notes");
  expect_invalid([this] { RecordFile{file_}; }, "its last line is no record");
  EXPECT_EQ(read(), "my notes");
}

TEST_F(RecordLines, NamesALineThatIsNoRecord) {
  write("{}\n{\"a\":\n[1]\n");
  expect_throw<DataError>([this] { static_cast<void>(RecordFile(file_).read()); }, "line 2 of ");
}

TEST_F(RecordLines, NamesALineThatIsNestedTooDeep) {
  constexpr std::size_t kDeep = 1'000'000;
  write("{\"a\":" + std::string(kDeep, '[') + std::string(kDeep, ']') + "}\n");
  expect_throw<DataError>([this] { static_cast<void>(RecordFile(file_).read()); }, "line 1 of ");
}

TEST_F(RecordLines, ReplacesALineInItsPlace) {
  write("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
  RecordFile file(file_);
  file.replace(1, {{"B", "new"}});
  file.append({{"d", 4}});
  EXPECT_EQ(read(), "{\"a\":1}\n{\"B\":\"new\"}\n{\"c\":3}\n{\"d\":4}\n");
}

TEST_F(RecordLines, TakesAwayWhatAKillLeftOfAReplacement) {
  const fs::path left = file_.string() + ".tmp-kvgauge";
  std::ofstream(left) << "{\"a\":1}\n{\"b\":";
  write("{\"a\":1}\n");
  EXPECT_EQ(RecordFile(file_).read().size(), 1U);
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(RecordLines, IsWrittenByOneAtATime) {
  const RecordFile first(file_);
  expect_invalid([this] { RecordFile{file_}; }, "another run or sweep is writing to it");
}

TEST_F(RecordLines, StaysHeldWhenALineWasReplaced) {
  write("{}\n");
  RecordFile first(file_);
  first.replace(0, {{"a", 1}});
  expect_invalid([this] { RecordFile{file_}; }, "another run or sweep is writing to it");
}

TEST(RecordFile, WritesToADeviceAsItIs) {
  RecordFile file("/dev/null");
  file.append({{"a", 1}});
  EXPECT_TRUE(file.read().empty());
  RecordFile full("/dev/full");
  expect_throw<DataError>([&] { full.append({{"a", 1}}); }, "No space left on device");
}

}  // namespace
}  // namespace kvg::harness
