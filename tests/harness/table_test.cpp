#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "harness/columns.h"
#include "harness/reporters/reporters.h"
#include "tests/harness/fixed_records.h"

namespace kvg::harness {
namespace {

std::string golden(const std::string& name) {
  std::ifstream file(std::string(KVG_GOLDEN_DIR) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string printed(bool on_cuda, bool colour) {
  std::ostringstream out;
  const auto reporter = make_table_reporter(out, colour);
  for (const bool again : {false, true}) {
    reporter->begin_table(fixed_table(on_cuda));
    for (Record record : {measured_record(), unscored_record(), failed_record()}) {
      record.on_cuda = on_cuda;
      reporter->add(record);
    }
    if (!again && colour) {
      break;
    }
  }
  return out.str();
}

TEST(TableReporter, LeavesTheTerminalToItself) {
  std::ostringstream out;
  const auto reporter = make_table_reporter(out, false);
  TableInfo table = fixed_table(false);
  table.dataset = "a\x1b[31m\nb";
  reporter->begin_table(table);
  Record record = measured_record();
  record.method = "c\x1b]0;d\a";
  reporter->add(record);
  record = failed_record();
  record.method = "e\rf";
  reporter->add(record);
  EXPECT_TRUE(out.str().starts_with("tiny-llama | a [31m b | stream | cpu\n")) << out.str();
  EXPECT_NE(out.str().find("\nc ]0;d "), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("\ne f "), std::string::npos) << out.str();
}

TEST(TableReporter, PrintsTheGoldenTables) {
  EXPECT_EQ(printed(false, false), golden("table_cpu.txt"));
  EXPECT_EQ(printed(true, false), golden("table_cuda.txt"));
}

// What a file or a terminal has been given so far, as far as it was flushed.
class Flushed final : public std::stringbuf {
 public:
  [[nodiscard]] const std::string& seen() const { return seen_; }

 private:
  int sync() override {
    seen_ = str();
    return 0;
  }

  std::string seen_;
};

TEST(TableReporter, ShowsARowTheMomentItIsMeasured) {
  Flushed flushed;
  std::ostream out(&flushed);
  const auto reporter = make_table_reporter(out, false);
  reporter->begin_table(fixed_table(false));
  EXPECT_NE(flushed.seen().find("Method "), std::string::npos) << flushed.seen();
  for (const Record& record : {measured_record(), failed_record()}) {
    EXPECT_EQ(flushed.seen().find(record.method), std::string::npos);
    reporter->add(record);
    EXPECT_NE(flushed.seen().find("\n" + record.method), std::string::npos) << flushed.seen();
    EXPECT_TRUE(flushed.seen().ends_with("\n"));
  }
}

TEST(TableReporter, ColoursOnlyWhenAsked) {
  EXPECT_EQ(printed(false, false).find('\x1b'), std::string::npos);
  EXPECT_NE(printed(false, true).find("\x1b[1mtiny-llama | persuasion"), std::string::npos);
  EXPECT_NE(printed(false, true).find("\x1b[31m  failed"), std::string::npos);
}

TEST(Columns, HaveKeysOfTheirOwn) {
  std::set<std::string_view> keys;
  for (const Column& column : columns()) {
    EXPECT_TRUE(keys.insert(column.key).second) << column.key;
    EXPECT_NE(column.get, nullptr) << column.key;
  }
}

TEST(FourDigits, KeepsFourSignificantDigits) {
  EXPECT_EQ(four_digits(0.00123), "0.001230");
  EXPECT_EQ(four_digits(12.3), "12.30");
  EXPECT_EQ(four_digits(1234.0), "1234");
  EXPECT_EQ(four_digits(0.99996), "1.000");
}

}  // namespace
}  // namespace kvg::harness
