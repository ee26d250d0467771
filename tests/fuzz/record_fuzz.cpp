// Recorded runs, as the gate reads them: what was written compares with itself.

#include <nlohmann/json.hpp>
#include <sstream>

#include "harness/compare.h"
#include "harness/run_file.h"
#include "tests/fuzz/refusal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  kvg::fuzz::expect_taken_or_refused([&text] {
    const auto run = kvg::harness::parse_run(text, "run.json");
    const kvg::harness::NamedRun named{.run = run, .name = "run.json"};
    const auto comparison = kvg::harness::compare(named, named, {}, {});
    std::ostringstream out;
    kvg::harness::print_table(comparison, out);
    kvg::harness::print_json(comparison, out);
    kvg::harness::print_markdown(comparison, out);
  });
  return 0;
}
