#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernels/contract_fixture.h"
#include "tests/kernels/form_cases.h"
#include "tests/kernels/stored_side.h"

namespace kvg::kernels {

/// How a test looks at a StoredCache.
struct Look {
  int sinks = 0;        ///< beyond 0: with queries of their own
  bool scores = false;  ///< checks AttendArgs::scores too
  int pages = 0;        ///< of 16 entries each; 0: all entries
};

/// One layer in a form, beside what it should read as.
class StoredCache {
 public:
  StoredCache(Backend& backend, const FormCase& forms, const StoredShape& params);

  [[nodiscard]] StoredView view() const;
  /// In memory that the host shares; it synchronizes first.
  [[nodiscard]] HeadCursor& head(int index) const;

  /// Stores of a prompt of random entries as many of each head as it has entries: its first, or
  /// some between others when `choose`.
  void store_prompt(bool choose);
  /// Appends a random entry to each head, at its cursor.
  void append(std::uint32_t seed);
  void settle();

  /// Compares attention of random queries with double precision.
  void expect_attention(const Look& look, double bound, const std::string& what) const;
  void expect_untouched(const std::string& what) const;

 private:
  struct Queries;
  [[nodiscard]] std::vector<std::int32_t> pages_of(int head, int count) const;
  [[nodiscard]] std::vector<std::int32_t> entries_of(int head, const Look& look) const;
  void expect_kv_head(const Look& look, const Queries& queries, int index) const;

  Backend* backend_;
  FormCase forms_;
  StoredShape params_;
  StoredSideData keys_;
  StoredSideData values_;
  testing_support::SharedArray<HeadCursor> heads_;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace kvg::kernels
