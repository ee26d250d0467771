#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/harness/program_fixture.h"

namespace kvg::harness {

using Json = nlohmann::ordered_json;

/// What no clock, place or other process decides: the rest is the same whenever it is measured.
inline Json lasting(Json record) {
  for (const char* key : {"ttft",
                          "ttft_low",
                          "ttft_high",
                          "tpot",
                          "tpot_low",
                          "tpot_high",
                          "throughput",
                          "prefill_throughput",
                          "decode_throughput",
                          "total_time",
                          "itl_p50",
                          "itl_p90",
                          "itl_p99",
                          "environment",
                          "calibration",
                          "bound_tpot",
                          "bound_ttft",
                          "fraction_of_bound_tpot",
                          "fraction_of_bound_ttft",
                          "spread",
                          "noisy"}) {
    record.erase(key);
  }
  record["memory"].erase("process_bytes");
  record["memory"].erase("unaccounted_bytes");
  for (Json& sample : record["samples"]) {
    for (const char* key : {"ttft", "tpot", "total_time", "step_times"}) {
      sample.erase(key);
    }
  }
  return record;
}

/// Sweeps in the test's own folder.
class SweepProgram : public ProgramFixture {
 protected:
  [[nodiscard]] std::vector<Json> lines(const std::string& name) const {
    const std::string text = read(name);
    EXPECT_TRUE(text.empty() || text.back() == '\n') << name;
    std::vector<Json> result;
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t end = text.find('\n', from);
      result.push_back(Json::parse(text.substr(from, end - from)));
      from = end + 1;
    }
    return result;
  }

  // The sweep as a process of its own.
  [[nodiscard]] pid_t start(const std::string& file, const std::string& output) const {
    const pid_t child = ::fork();
    if (child == 0) {
      const int log = ::open((folder_ / "child.txt").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0666);
      if (::chdir(folder_.c_str()) == 0 && ::dup2(log, STDOUT_FILENO) >= 0 &&
          ::dup2(log, STDERR_FILENO) >= 0) {
        ::execl(KVG_PROGRAM,
                "kvgauge",
                "sweep",
                file.c_str(),
                "--jsonl",
                (output + ".jsonl").c_str(),
                "--json",
                (output + ".json").c_str(),
                "--csv",
                (output + ".csv").c_str(),
                nullptr);
      }
      ::_exit(127);
    }
    return child;
  }

  [[nodiscard]] std::ptrdiff_t count_lines(const std::string& name) const {
    return std::ranges::count(read(name), '\n');
  }

  // False when the child ended before.
  [[nodiscard]] bool wait_for_lines(pid_t child, const std::string& name, std::ptrdiff_t count) {
    while (count_lines(name) < count) {
      if (::waitpid(child, &status_, WNOHANG) == child) {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  void end(pid_t child, int signal) {
    ::kill(child, signal);
    ::waitpid(child, &status_, 0);
  }

  int status_ = 0;
};

}  // namespace kvg::harness
