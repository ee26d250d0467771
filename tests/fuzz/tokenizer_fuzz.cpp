// tokenizer.json, and a text through what it makes.

#include "model/tokenizer.h"
#include "tests/fuzz/refusal.h"
#include "tests/fuzz/scratch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static kvg::fuzz::ScratchFile file("tokenizer.json");
  file.write(data, size);
  kvg::fuzz::expect_taken_or_refused([] {
    const auto tokenizer = kvg::model::load_tokenizer(file.folder());
    const auto ids = tokenizer->encode("It's 12 o'clock, \u00c9mile:\n\n  a <s> b\t\u4e2d");
    static_cast<void>(tokenizer->decode(ids));
  });
  return 0;
}
