#pragma once

#include <cstdlib>
#include <iostream>
#include <string>

#include "kernels/core/error.h"

namespace kvg::fuzz {

/// Runs `read` on bytes that nobody vouches for: it takes them, or throws a kvg::Error of one line.
/// Anything else ends the process.
template <typename Read>
void expect_taken_or_refused(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (message.empty() || message.find('\n') != std::string::npos) {
      std::cerr << "no message of one line: " << message << '\n';
      std::abort();
    }
  }
}

}  // namespace kvg::fuzz
