#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace kvg::datasets {

/// Cuts the ids of a text into at most `num_samples` consecutive, non-overlapping stretches of at
/// most `max_tokens` ids each; `bos` is put in front of every one and counts. A text that is too
/// short gives fewer stretches, and its last may be shorter, down to one id of the text: the caller
/// drops what is too short to score. Throws InvalidArgument when `num_samples` is under 1 or
/// `max_tokens` under 2.
[[nodiscard]] std::vector<std::vector<std::int32_t>> cut_samples(std::span<const std::int32_t> ids,
                                                                 std::optional<std::int32_t> bos,
                                                                 std::int32_t max_tokens,
                                                                 std::int32_t num_samples);

}  // namespace kvg::datasets
