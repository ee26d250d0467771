// A sweep that is killed again and again.

#include <random>
#include <set>

#include "harness/cell.h"
#include "tests/harness/sweep_fixture.h"

namespace kvg::harness {
namespace {

using KilledSweep = SweepProgram;

TEST_F(KilledSweep, LosesNothingAndDoublesNothing) {
  // 120 cells; twenty starts at few cells each leave some for the last one.
  write("g.json", R"({"policies": ["baseline", "streaming_8-30"], "protocol": "split",
                      "max_tokens": "16-20", "num_samples": 1, "warmup": 0, "device": "cpu",
                      "threads": 1, "no_kl": true})");
  constexpr std::size_t kAll = 120;
  std::mt19937 random(20);  // the seed is the number of kills and says nothing else
  int killed = 0;
  for (int i = 0; i < 20; ++i) {
    const std::string before = read("a.jsonl");
    const std::string kept = before.substr(0, before.rfind('\n') + 1);
    const pid_t child = start("g.json", "a");
    const auto more = static_cast<std::ptrdiff_t>(random() % 4);
    ASSERT_TRUE(wait_for_lines(child, "a.jsonl", std::ranges::count(kept, '\n') + more));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    end(child, SIGKILL);
    killed += WIFSIGNALED(status_) ? 1 : 0;
    EXPECT_TRUE(read("a.jsonl").starts_with(kept)) << "a record was lost";
    if (const std::string whole = read("a.json"); !whole.empty()) {
      EXPECT_TRUE(Json::accept(whole));
    }
  }
  EXPECT_EQ(killed, 20);
  ASSERT_EQ(run("sweep g.json --jsonl a.jsonl --json a.json --csv a.csv"), 0) << err_;
  const auto records = lines("a.jsonl");
  EXPECT_EQ(records.size(), kAll);
  std::set<std::string> keys;
  for (const Json& record : records) {
    EXPECT_EQ(record.at("status"), "ok");
    keys.insert(cell_key(record));
  }
  EXPECT_EQ(keys.size(), kAll) << "a record is there twice";
  EXPECT_EQ(Json::parse(read("a.json")).at("records").size(), kAll);
  EXPECT_EQ(count_lines("a.csv"), kAll + 1);
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
  }
  ASSERT_EQ(run("sweep g.json --jsonl b.jsonl"), 0) << err_;
  const auto whole = lines("b.jsonl");
  ASSERT_EQ(whole.size(), kAll);
  for (std::size_t i = 0; i < kAll; ++i) {
    EXPECT_EQ(lasting(records[i]), lasting(whole[i])) << "another figure than without the kills";
  }
}

}  // namespace
}  // namespace kvg::harness
