#include "harness/cli/console.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include "harness/cli/interrupt.h"
#include "harness/columns.h"
#include "harness/plain_text.h"

namespace kvg::harness::cli {
namespace {

using std::chrono::milliseconds;

// Often enough to see it move, rarely enough to cost nothing beside a step.
constexpr milliseconds kOnTerminal{100};
constexpr milliseconds kElsewhere{2000};

constexpr std::string_view kEraseLine = "\r\x1b[K";

constexpr std::size_t kBarWidth = 20;

constexpr double kMinute = 60.0;
constexpr double kHour = 3600.0;

std::string bar(std::size_t done, std::size_t total) {
  const std::size_t filled = total > 0 ? kBarWidth * done / total : kBarWidth;
  return "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] ";
}

std::string rate_text(double per_second) {
  if (per_second >= 1.0) {
    return four_digits(per_second) + " a second";
  }
  return per_second * kMinute >= 1.0 ? four_digits(per_second * kMinute) + " a minute"
                                     : four_digits(per_second * kHour) + " an hour";
}

std::string duration_text(double seconds) {
  const auto whole = [](double value) { return std::to_string(std::llround(std::ceil(value))); };
  if (seconds < 2 * kMinute) {
    return whole(seconds) + " s";
  }
  return seconds < 2 * kHour ? whole(seconds / kMinute) + " min" : whole(seconds / kHour) + " h";
}

}  // namespace

std::string cells_text(std::size_t done, std::size_t total, std::size_t measured, double seconds) {
  std::string text = std::to_string(done) + " of " + std::to_string(total) + " cells";
  if (measured > 0 && seconds > 0.0) {
    const double rate = static_cast<double>(measured) / seconds;
    text += ", " + rate_text(rate);
    if (done < total) {
      text += ", " + duration_text(static_cast<double>(total - done) / rate) + " left";
    }
  }
  return text;
}

void Console::warn(const std::string& line) {
  // Experiments of one grid have much in common.
  if (std::ranges::find(warnings_, line) == warnings_.end()) {
    warnings_.push_back(line);
  }
}

void Console::show_warnings() {
  idle();
  for (const std::string& line : warnings_) {
    out_ << "warning: " << one_line(line) << std::endl;
  }
  warnings_.clear();
}

void Console::show(const std::string& line) {
  out_ << (options_.terminal ? kEraseLine : "") << line << (options_.terminal ? "" : "\n")
       << std::flush;
  line_open_ = options_.terminal;
}

void Console::progress(std::string_view what, std::size_t done, std::size_t total) {
  if (!options_.progress) {
    return;
  }
  const auto now = Clock::now();
  if (now - last_ < (options_.terminal ? kOnTerminal : kElsewhere)) {
    return;
  }
  last_ = now;
  const std::size_t percent = total > 0 ? 100 * done / total : 100;
  const std::string cells = options_.terminal && !cells_line_.empty() ? cells_line_ + "; " : "";
  show(cells + std::string(what) + ": " + std::to_string(percent) + " %");
}

void Console::cells(std::size_t done, std::size_t total) {
  if (!options_.cells) {
    return;
  }
  const auto now = Clock::now();
  if (!begun_) {
    begun_ = now;
    finished_before_ = done;
  }
  const double seconds = std::chrono::duration<double>(now - *begun_).count();
  cells_line_ = (options_.terminal ? bar(done, total) : "") +
                cells_text(done, total, done - finished_before_, seconds);
  show(cells_line_);
}

bool Console::stopping() const {
  return Interrupt::came();
}

void Console::idle() {
  if (line_open_) {
    out_ << kEraseLine << std::flush;
    line_open_ = false;
  }
}

}  // namespace kvg::harness::cli
