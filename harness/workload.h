#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/protocol.h"
#include "model/checkpoint.h"

namespace kvg::harness {

/// Takes one line for the user's eyes.
using Warn = std::function<void(const std::string& line)>;

/// What the experiment feeds to the model, one a text: tokenised and cut, or seeded random ids.
/// Samples too short to score are skipped with a warning, samples beyond the model's positions are
/// warned of. Throws InvalidArgument when a text yields no sample, DataError when a text or the
/// tokenizer is broken or does not belong to the model.
[[nodiscard]] std::vector<Workload> make_workloads(const Experiment& experiment,
                                                   const model::ModelSource& source,
                                                   const Warn& warn);

/// What the rows of a workload were measured with: the experiment's settings, but for those that
/// the dataset decides.
[[nodiscard]] std::vector<Setting> settings_of(const Experiment& experiment,
                                               const Workload& workload);

/// `count` ids in [0, vocab), the same for a seed everywhere.
[[nodiscard]] std::vector<std::int32_t> random_ids(std::uint64_t seed,
                                                   std::size_t count,
                                                   int vocab);

}  // namespace kvg::harness
