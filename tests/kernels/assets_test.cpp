#include "kernels/core/assets.h"

#include <filesystem>
#include <gtest/gtest.h>

namespace kvg {
namespace {

TEST(Assets, AreFoundFromAnyWorkingDirectory) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path("/");
  const std::filesystem::path found = find_asset("model/checkpoints/tiny-llama/config.json");
  std::filesystem::current_path(before);
  EXPECT_TRUE(std::filesystem::is_regular_file(found)) << found;
}

TEST(Assets, FoldersAreFoundToo) {
  EXPECT_TRUE(std::filesystem::is_directory(find_asset("model/checkpoints")));
}

TEST(Assets, WhatIsNowhereIsEmpty) {
  EXPECT_TRUE(find_asset("model/checkpoints/no-such-model").empty());
}

// Beside the executable, as after `cmake --install` into a prefix.
TEST(Assets, TheInstalledPlaceComesFirst) {
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe");
  const std::filesystem::path share = executable.parent_path().parent_path() / "share" / "kvgauge";
  const bool had_share = std::filesystem::exists(share);
  std::filesystem::create_directories(share / "kvg_assets_test");
  EXPECT_EQ(find_asset("kvg_assets_test"), share / "kvg_assets_test");
  std::filesystem::remove(share / "kvg_assets_test");
  if (!had_share) {
    std::filesystem::remove(share);
    std::filesystem::remove(share.parent_path());
  }
}

}  // namespace
}  // namespace kvg
