#include "harness/cli/console.h"

#include <ostream>

namespace kvg::harness::cli {
namespace {

using std::chrono::milliseconds;

// Often enough to see it move, rarely enough to cost nothing beside a step.
constexpr milliseconds kOnTerminal{100};
constexpr milliseconds kElsewhere{2000};

constexpr std::string_view kEraseLine = "\r\x1b[K";

}  // namespace

void Console::warn(const std::string& line) {
  warnings_.push_back(line);
}

void Console::show_warnings() {
  idle();
  for (const std::string& line : warnings_) {
    out_ << "warning: " << line << std::endl;
  }
  warnings_.clear();
}

void Console::progress(std::string_view what, std::size_t done, std::size_t total) {
  if (!options_.progress) {
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < (options_.terminal ? kOnTerminal : kElsewhere)) {
    return;
  }
  last_ = now;
  const std::size_t percent = total > 0 ? 100 * done / total : 100;
  out_ << (options_.terminal ? kEraseLine : "") << what << ": " << percent << " %"
       << (options_.terminal ? "" : "\n") << std::flush;
  line_open_ = options_.terminal;
}

void Console::idle() {
  if (line_open_) {
    out_ << kEraseLine << std::flush;
    line_open_ = false;
  }
}

}  // namespace kvg::harness::cli
