#include "harness/run_file.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/expect_throw.h"

namespace kvg::harness {
namespace {

using testing_support::expect_throw;

TEST(ParseRun, RefusesWhatIsNoRun) {
  const auto refuse = [](std::string_view text, const char* part) {
    expect_throw<DataError>([&] { static_cast<void>(parse_run(text, "a.json")); }, part);
  };
  refuse("", "a.json is no run that `kvgauge run --json` wrote: it is broken or cut short");
  refuse(R"({"records": [{"policy": "base)", "broken or cut short");
  refuse(R"({"records": [{"tpot": 1e999}]})", "broken or cut short");
  refuse("[]", "it holds no object");
  refuse("{}", "no array of records");
  refuse(R"({"records": {}})", "no array of records");
  refuse(R"({"records": [1]})", "no array of records");
  refuse(R"({"schema": "kvgauge.run/9", "records": []})", "its schema is not kvgauge.run/1");
  const std::string deep = std::string(9999, '[') + std::string(9999, ']');
  refuse(R"({"records": )" + deep + "}", "it is nested too deep");
  refuse(R"({"environment": 1, "records": []})", "its environment is no object");
}

}  // namespace
}  // namespace kvg::harness
