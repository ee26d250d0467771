// config.json, and what is computed from it before anything is allocated by it.

#include "model/config.h"
#include "model/stop_tokens.h"
#include "tests/fuzz/refusal.h"
#include "tests/fuzz/scratch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static kvg::fuzz::ScratchFile file("config.json");
  const auto& path = file.write(data, size);
  kvg::fuzz::expect_taken_or_refused([&path] {
    const kvg::model::Config config = kvg::model::load_config(path);
    static_cast<void>(kvg::model::rope_table(config, 4));
    static_cast<void>(kvg::model::stop_tokens(file.folder(), config.vocab));
  });
  return 0;
}
