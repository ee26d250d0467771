#pragma once

namespace kvg::harness::cli {

/// While one lives, the first Ctrl-C is noted and said, and the second ends the program at once as
/// if nobody had listened. At most one at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  [[nodiscard]] static bool came();
};

}  // namespace kvg::harness::cli
