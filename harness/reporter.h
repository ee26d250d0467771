#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "harness/environment.h"
#include "harness/record.h"

namespace kvg::harness {

/// One table of a run: the rows of one model and text.
struct TableInfo {
  std::string model;
  std::string dataset;
  std::string protocol;
  std::string device;
  bool on_cuda = false;
  bool asks = false;                 ///< its samples are questions of tasks
  std::string variant{};             ///< what sets it apart from others of its grid
  std::vector<std::string> methods;  ///< of the rows to come
};

/// Receives a run as it goes: what an earlier run of the same cells left, then for every model and
/// combination of counts the environment, and for every table its rows the moment each is measured.
class Reporter {
 public:
  Reporter() = default;
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;
  virtual ~Reporter() = default;

  /// Lines of --jsonl that belong to the same grid.
  virtual void recall(std::span<const nlohmann::ordered_json> /*lines*/) {}
  virtual void begin_run(const Environment& /*environment*/) {}
  virtual void begin_table(const TableInfo& /*table*/) {}
  virtual void add(const Record& record) = 0;
};

/// Several reporters as one.
class Reporters final : public Reporter {
 public:
  void hold(std::unique_ptr<Reporter> reporter) { all_.push_back(std::move(reporter)); }

  void recall(std::span<const nlohmann::ordered_json> lines) override;
  void begin_run(const Environment& environment) override;
  void begin_table(const TableInfo& table) override;
  void add(const Record& record) override;

 private:
  std::vector<std::unique_ptr<Reporter>> all_;
};

}  // namespace kvg::harness
