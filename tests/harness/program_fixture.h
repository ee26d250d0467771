#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace kvg::harness {

/// A folder of the test's own, in which it runs the program as a user would.
class ProgramFixture : public testing::Test {
 protected:
  ProgramFixture()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("kvg_program_" + std::to_string(getpid()) + "_" +
                 std::string(testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// Runs `kvgauge ARGUMENTS` inside the test's folder and yields its exit code.
  int run(const std::string& arguments) {
    const std::string command = "cd '" + folder_.string() + "' && '" KVG_PROGRAM "' " + arguments +
                                " >stdout.txt 2>stderr.txt </dev/null";
    const int status = std::system(command.c_str());
    out_ = read("stdout.txt");
    err_ = read("stderr.txt");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }

  std::filesystem::path folder_;
  std::string out_;
  std::string err_;
};

}  // namespace kvg::harness
