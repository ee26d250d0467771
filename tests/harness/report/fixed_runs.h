#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/json_document.h"
#include "harness/report/renderer.h"
#include "tests/harness/fixed_records.h"

namespace kvg::harness::report {

/// A document of rows as `kvgauge run --json` writes it.
inline nlohmann::json run_of(const std::vector<Record>& records) {
  nlohmann::json document = {{"schema", "kvgauge.run/1"},
                             {"environment", nlohmann::json(to_json(fixed_environment()))},
                             {"records", nlohmann::json::array()}};
  for (const Record& record : records) {
    document["records"].push_back(nlohmann::json(to_json(record)));
  }
  return document;
}

/// A measured row of a policy: perplexity, peak (bytes) and TPOT (seconds) alone differ.
inline Record row_of(const std::string& method, double perplexity, double peak, double tpot) {
  Record record = measured_record();
  record.method = method;
  record.policy = method;
  record.perplexity = perplexity;
  record.memory->pool_used_peak_bytes = static_cast<std::int64_t>(peak);
  record.tpot = tpot;
  record.nll_by_position = {{.from = 1, .to = 101, .nll = 0.0},
                            {.from = 101, .to = 201, .nll = 1.0}};
  record.samples.front().step_times = {0.001, 0.002, 0.003, 0.004, 0.005};
  return record;
}

/// A row of questions at depths 0, 50 and 100.
inline Record needle_row(const std::string& method,
                         std::int64_t context,
                         const std::vector<double>& scores) {
  Record record = row_of(method, 1.0, 1.0, 0.001);
  record.protocol = "task";
  record.dataset = "niah";
  record.query = "aware";
  record.context = context;
  record.perplexity = {};
  record.accuracy = scores.front();
  record.samples.clear();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    Sample sample = measured_record().samples.front();
    sample.answer = Answer{.task = "niah",
                           .depth = static_cast<std::int32_t>(50 * i),
                           .prompt_sha256 = "00",
                           .text = "answer " + std::to_string(i),
                           .score = scores[i]};
    record.samples.push_back(sample);
  }
  return record;
}

inline std::string rendered(const std::string& format, const nlohmann::json& run) {
  std::ostringstream out;
  const Run one{.file = "run.json", .document = &run};
  renderer_named(format).render({&one, 1}, out);
  return out.str();
}

/// What would run if a page took a name for more than a text.
inline const std::string kHostile = "</script><img src=x onerror=\"window.pwned=1\">'&{{script}}";

/// A run whose every text is hostile.
inline nlohmann::json hostile_run() {
  Record measured = row_of(kHostile, 20.0, 1e9, 0.001);
  measured.model = kHostile;
  measured.dataset = kHostile;
  Record failed = measured;
  failed.status = Status::kFailed;
  failed.error = kHostile;
  Record asked = needle_row(kHostile, 500, {0.5, 0.5, 0.5});
  for (Sample& sample : asked.samples) {
    sample.answer->text = kHostile;
  }
  nlohmann::json run = run_of({measured, failed, asked});
  for (auto& [key, value] : run["environment"].items()) {
    if (value.is_string()) {
      value = kHostile;
    }
  }
  run["environment"][kHostile] = kHostile;
  run["records"][0]["settings"] = {{kHostile, kHostile}};
  return run;
}

}  // namespace kvg::harness::report
