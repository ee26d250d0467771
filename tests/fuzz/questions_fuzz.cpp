// Files of questions and corpora in JSON lines.

#include "datasets/question_file.h"
#include "datasets/text.h"
#include "tests/fuzz/refusal.h"
#include "tests/fuzz/scratch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static kvg::fuzz::ScratchFile file("lines.jsonl");
  const std::string path = file.write(data, size).string();
  kvg::fuzz::expect_taken_or_refused([&path] {
    for (const auto& question : kvg::datasets::load_questions(path, 16).questions) {
      if (question.metric != nullptr) {
        static_cast<void>(question.metric->score("Paragraph 12: the `cat'\n", question.key));
      }
    }
  });
  kvg::fuzz::expect_taken_or_refused(
      [&path] { static_cast<void>(kvg::datasets::load_text(path)); });
  return 0;
}
