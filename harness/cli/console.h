#pragma once

#include <chrono>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "harness/session.h"

namespace kvg::harness::cli {

/// Warnings and progress on the console. On a terminal progress is one line written over; elsewhere
/// it is a line now and then. Warnings are held until they are asked for, so that a run that is
/// refused says why and nothing else.
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

  void show_warnings();

 private:
  std::ostream& out_;
  Options options_;
  std::chrono::steady_clock::time_point last_;
  bool line_open_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace kvg::harness::cli
