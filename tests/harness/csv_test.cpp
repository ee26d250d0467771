#include <algorithm>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "harness/columns.h"
#include "harness/reporters/reporters.h"
#include "tests/harness/fixed_records.h"

namespace kvg::harness {
namespace {

using Row = std::vector<std::string>;

// Reads RFC 4180: fields in quotes hold commas and doubled quotes.
std::vector<Row> parse_csv(const std::string& text) {
  std::vector<Row> rows(1, Row(1));
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char letter = text[i];
    if (quoted && letter == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      rows.back().back() += '"';
      ++i;
    } else if (letter == '"') {
      quoted = !quoted;
    } else if (!quoted && letter == ',') {
      rows.back().emplace_back();
    } else if (!quoted && letter == '\r' && text[i + 1] == '\n') {
      rows.emplace_back(1);
      ++i;
    } else {
      rows.back().back() += letter;
    }
  }
  rows.pop_back();
  return rows;
}

std::string field(const std::vector<Row>& rows, std::size_t row, const std::string& key) {
  const auto at = std::ranges::find(rows[0], key) - rows[0].begin();
  EXPECT_LT(static_cast<std::size_t>(at), rows[0].size()) << key;
  return rows[row].at(static_cast<std::size_t>(at));
}

class CsvReporter : public testing::Test {
 protected:
  CsvReporter()
      : reporter_(
            make_csv_reporter([this](std::string_view text) { documents_.emplace_back(text); })) {
    reporter_->add(measured_record());
    reporter_->add(failed_record());
  }

  std::vector<std::string> documents_;
  std::unique_ptr<Reporter> reporter_;
};

TEST_F(CsvReporter, RewritesTheDocumentAfterEveryRow) {
  ASSERT_EQ(documents_.size(), 2U);
  EXPECT_EQ(parse_csv(documents_[0]).size(), 2U);
  EXPECT_EQ(parse_csv(documents_[1]).size(), 3U);
  EXPECT_TRUE(documents_[1].starts_with(documents_[0]));
}

TEST_F(CsvReporter, GivesEveryRowAFieldForEveryColumn) {
  for (const Row& row : parse_csv(documents_[1])) {
    EXPECT_EQ(row.size(), columns().size() + 1);
  }
}

TEST_F(CsvReporter, WritesFiguresThatReadBack) {
  const auto rows = parse_csv(documents_[1]);
  EXPECT_EQ(field(rows, 1, "policy"), "streaming:budget=256,sinks=4,decode=evict,positions=cache");
  EXPECT_EQ(std::stod(field(rows, 1, "ttft")), 0.0012345678);
  EXPECT_EQ(field(rows, 1, "memory_unaccounted_bytes"), "-7");
  EXPECT_EQ(field(rows, 1, "peak_memory_gb"), "1.5");
  EXPECT_EQ(field(rows, 1, "peak_vram_gb"), "");
  EXPECT_EQ(field(rows, 1, "calibration_read_gbps"), "55.5");
  EXPECT_EQ(field(rows, 1, "calibration_h2d_gbps"), "");
  EXPECT_EQ(field(rows, 1, "noisy"), "true");
  EXPECT_EQ(field(rows, 1, "samples"), "1");
  EXPECT_EQ(field(rows, 1, "error"), "");
}

TEST_F(CsvReporter, WritesWhatIsKeptAndHeld) {
  const auto rows = parse_csv(documents_[1]);
  EXPECT_EQ(field(rows, 1, "budget_requested"), "256");
  EXPECT_EQ(field(rows, 1, "kept_entries_mean"), "250.5");
  EXPECT_EQ(field(rows, 1, "kept_entries_min"), "248");
  EXPECT_EQ(field(rows, 1, "kept_entries_max"), "255");
  EXPECT_EQ(field(rows, 1, "kept_fraction"), "0.125");
  EXPECT_EQ(field(rows, 1, "bits_per_element"), "5.25");
  EXPECT_EQ(field(rows, 1, "kv_bytes"), "2");
  EXPECT_EQ(field(rows, 1, "kv_bytes_read_per_step"), "4096");
  for (const char* key : {"budget_requested",
                          "kept_entries_mean",
                          "kept_entries_min",
                          "kept_entries_max",
                          "kept_fraction",
                          "bits_per_element",
                          "kv_bytes",
                          "kv_bytes_read_per_step"}) {
    EXPECT_EQ(field(rows, 2, key), "") << key << " of a failed row";
  }
}

TEST_F(CsvReporter, QuotesWhatHoldsQuotesAndCommas) {
  const auto rows = parse_csv(documents_[1]);
  EXPECT_NE(documents_[1].find("\"it said \"\"no\"\", twice\""), std::string::npos);
  EXPECT_EQ(field(rows, 2, "error"), "it said \"no\", twice");
  EXPECT_EQ(field(rows, 2, "status"), "failed");
  EXPECT_EQ(field(rows, 2, "ttft"), "");
}

}  // namespace
}  // namespace kvg::harness
