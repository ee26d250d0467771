#include "harness/cli/interrupt.h"

#include <csignal>
#include <string_view>
#include <unistd.h>

namespace kvg::harness::cli {
namespace {

// A signal handler reaches nothing but what is static.
volatile std::sig_atomic_t came_once = 0;

// SA_RESETHAND: the second signal finds the default action and ends the program.
void on_signal(int /*signal*/) {
  came_once = 1;
  constexpr std::string_view kNotice =
      "\nkvgauge: ending after this row; once more to end at once\n";
  static_cast<void>(!::write(STDERR_FILENO, kNotice.data(), kNotice.size()));
}

}  // namespace

Interrupt::Interrupt() {
  came_once = 0;
  // Even where a script's shell had it ignored, as it does for what it runs in the background.
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
}

Interrupt::~Interrupt() {
  std::signal(SIGINT, SIG_DFL);
}

bool Interrupt::came() {
  return came_once != 0;
}

}  // namespace kvg::harness::cli
