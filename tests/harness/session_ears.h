#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/session.h"

namespace kvg::harness {

/// Three short samples in f32, so that likelihoods may be compared closely.
inline Experiment short_in_f32(std::string protocol, std::vector<std::string> policies) {
  Experiment experiment;
  experiment.protocol = std::move(protocol);
  experiment.device = KVG_TEST_DEVICE;
  experiment.dtype = "f32";
  experiment.max_tokens = 90;
  experiment.num_samples = 3;
  experiment.policies = std::move(policies);
  return experiment;
}

/// Keeps what a session reports.
class Keep final : public Reporter {
 public:
  void begin_run(const Environment& environment) override { environment_ = environment; }
  void begin_table(const TableInfo& table) override { tables_.push_back(table); }
  void add(const Record& record) override { records_.push_back(record); }

  Environment environment_;
  std::vector<TableInfo> tables_;
  std::vector<Record> records_;
};

/// Keeps what a session warns of.
class Ears : public Listener {
 public:
  void warn(const std::string& line) override { warnings_.push_back(line); }
  void progress(std::string_view /*what*/, std::size_t /*done*/, std::size_t /*total*/) override {}
  void idle() override {}

  std::vector<std::string> warnings_;
};

}  // namespace kvg::harness
