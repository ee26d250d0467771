#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/cursor.h"
#include "kvcompress/spec.h"

namespace kvg::kvcompress {

/// Who stays: the choice of the entries that a cache keeps. Immutable; what belongs to one sequence
/// lives in the KvCache.
///
/// The selections so far are static: what they keep depends on positions alone, so a SlotRule on
/// the device carries out every step.
class Selection {
 public:
  Selection() = default;
  Selection(const Selection&) = delete;
  Selection& operator=(const Selection&) = delete;
  virtual ~Selection() = default;

  /// Entries kept per kv_head after a step; 0: all.
  [[nodiscard]] virtual std::int64_t budget() const = 0;

  /// How decode steps walk the slots.
  [[nodiscard]] virtual kernels::SlotRule slot_rule() const = 0;

  /// Positions kept, ascending, when a cache is cut after a prompt of `tokens`.
  [[nodiscard]] virtual std::vector<std::int32_t> keep_of_prompt(std::int32_t tokens) const = 0;
};

/// One row of the table of selections: everything the program knows of one.
struct SelectionInfo {
  std::string_view name;
  std::string_view summary;
  std::string_view paper;  ///< "arXiv:2309.17453", or empty
  std::span<const ParamInfo> params;
  /// Throws InvalidArgument when parameters contradict each other.
  std::unique_ptr<const Selection> (*make)(const Params& params) = nullptr;
};

/// Every selection, in the order of `kvgauge list policies`.
[[nodiscard]] std::span<const SelectionInfo> selections();

}  // namespace kvg::kvcompress
