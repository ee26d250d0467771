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

/// The same, dataset by dataset and context by context where not all can be made: one that cannot
/// says why and has no samples.
[[nodiscard]] std::vector<Workload> make_all_workloads(const Experiment& experiment,
                                                       const model::ModelSource& source,
                                                       const Warn& warn);

/// One a dataset and context of the experiment: a name without samples, as far as they are known
/// before anything is read, each refused for `reason`.
[[nodiscard]] std::vector<Workload> refused_workloads(const Experiment& experiment,
                                                      const std::string& reason);

/// What the rows of a workload were measured with: the experiment's settings, but for those that
/// the dataset decides.
[[nodiscard]] std::vector<Setting> settings_of(const Experiment& experiment,
                                               const Workload& workload);

/// `count` ids in [0, vocab), the same for a seed everywhere.
[[nodiscard]] std::vector<std::int32_t> random_ids(std::uint64_t seed,
                                                   std::size_t count,
                                                   int vocab);

}  // namespace kvg::harness
