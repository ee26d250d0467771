#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/workload.h"
#include "model/tokenizer.h"

namespace kvg::harness {

/// Who is asked the questions of a file. Questions outlive the workload's maker and share the
/// tokenizer.
struct Asked {
  const model::ModelSource& source;
  std::shared_ptr<const model::Tokenizer> tokenizer;
  const Warn& warn;
};

/// The questions of a file of JSON lines, all of them unless --num-samples says how many: one
/// workload a --context, or one of as many tokens as the model's positions leave beside an answer.
/// Of a longer prompt the middle is left out, and a warning given. Throws InvalidArgument when
/// answers leave no room, DataError for a broken file.
[[nodiscard]] std::vector<Workload> make_question_workloads(const std::string& file,
                                                            const Experiment& experiment,
                                                            const Asked& asked);

}  // namespace kvg::harness
