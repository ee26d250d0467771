#include "datasets/text.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "tests/support/expect_throw.h"

namespace kvg::datasets {
namespace {

using testing_support::expect_invalid;
using testing_support::expect_throw;

// A file that lives as long as the test.
class TempFile {
 public:
  TempFile(const std::string& name, std::string_view bytes)
      : path_(std::filesystem::path(::testing::TempDir()) / ("kvg_text_" + name)) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  ~TempFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(ShippedTexts, AllLoadAndPersuasionIsTheDefault) {
  const std::vector<std::string> names = shipped_texts();
  ASSERT_EQ(names.size(), 4U);
  EXPECT_EQ(names.front(), "persuasion");
  for (const std::string& name : names) {
    const Text text = load_text(name);
    EXPECT_EQ(text.name, name);
    EXPECT_EQ(text.file.filename(), name + ".txt");
    EXPECT_GT(text.content.size(), 100000U);
  }
}

TEST(LoadText, TakesAShippedNameWithOrWithoutItsSuffix) {
  const Text text = load_text("persuasion.txt");
  EXPECT_EQ(text.name, "persuasion");
  EXPECT_EQ(text.content.substr(0, 12), "This friend,");
  // sha256sum of the file.
  EXPECT_EQ(text.sha256, "07e006ebe9d31cc72c86da61ef2f45cd55033489e6e9fc56bfdd36a8c880518b");
}

TEST(LoadText, ReadsCrlfAsLfAndHashesTheBytes) {
  const TempFile file("crlf", "a\r\nb\rc\n\r\n\r");
  const Text text = load_text(file.path());
  EXPECT_EQ(text.name, file.path());
  EXPECT_EQ(text.content, "a\nb\rc\n\n\r");
  // printf 'a\r\nb\rc\n\r\n\r' | sha256sum
  EXPECT_EQ(text.sha256, "d83836231de50839deb6510da4dd8e1f8fa47ff2e6fcba1ca8d88646c5dd3579");
}

TEST(LoadText, PrefersAFileThatExistsToAShippedName) {
  const std::filesystem::path before = std::filesystem::current_path();
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "kvg_text_cwd";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "persuasion") << "mine";
  std::filesystem::current_path(folder);
  const Text text = load_text("persuasion");
  std::filesystem::current_path(before);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(text.content, "mine");
}

TEST(LoadText, RefusesAnUnknownNameWithTheListOfShippedOnes) {
  expect_invalid([] { (void)load_text("persuation"); },
                 "dataset \"persuation\" is neither a text file nor a shipped text; shipped: "
                 "persuasion, doctor-moreau, looking-glass, wikitext2-test");
  expect_invalid([] { (void)load_text(::testing::TempDir()); }, "neither a text file");
  expect_invalid([] { (void)load_text(""); }, "neither a text file");
}

TEST(LoadText, RefusesAnEmptyText) {
  const TempFile file("empty", "");
  expect_throw<DataError>([&] { (void)load_text(file.path()); },
                          file.path() + ": the text is empty");
}

TEST(LoadText, RefusesInvalidUtf8NamingTheByte) {
  const TempFile file("latin1", "caf\xE9 au lait");
  expect_throw<DataError>([&] { (void)load_text(file.path()); },
                          file.path() + ": not UTF-8: invalid at byte 3");
}

TEST(LoadText, RefusesAFileWithoutEnd) {
  expect_throw<DataError>([] { (void)load_text("/dev/zero"); },
                          "/dev/zero: more than the 256 MiB that a text may have");
}

}  // namespace
}  // namespace kvg::datasets
