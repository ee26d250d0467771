#pragma once

#include <chrono>
#include <iosfwd>
#include <string>
#include <string_view>

#include "harness/session.h"

namespace kvg::harness::cli {

/// Warnings and progress on the console. On a terminal progress is one line written over; elsewhere
/// it is a line now and then.
class Console final : public Listener {
 public:
  struct Options {
    bool progress = false;
    bool terminal = false;
  };

  /// `out` outlives it.
  Console(std::ostream& out, const Options& options) : out_(out), options_(options) {}

  void warn(const std::string& line) override;
  void progress(std::string_view what, std::size_t done, std::size_t total) override;
  void idle() override;

 private:
  std::ostream& out_;
  Options options_;
  std::chrono::steady_clock::time_point last_;
  bool line_open_ = false;
};

}  // namespace kvg::harness::cli
