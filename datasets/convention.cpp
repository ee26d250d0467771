// Four ways to measure the perplexity of a text, which differ by more than most policies do:
//
//   stream     stretches one after another, a BOS each, every token but the first scored
//   gptq       windows of N ids one after another, the BOS before the first alone, every token but
//              the first of a window scored (GPTQ's and AWQ's tools; N is 2048 there)
//   llama.cpp  windows of N ids one after another, a BOS in the place of each one's first, the
//              second half scored (llama-perplexity; N is 512 there)
//   stride     windows that begin N ids after each other, each token scored once, in the first
//              window that holds it (Hugging Face's document on perplexity; N is 512 there)
//
// None carries anything over from one window to the next; the first two that name a window drop
// what is left of the text after the last whole one.

#include "datasets/convention.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "datasets/sample.h"
#include "kernels/core/error.h"

namespace kvg::datasets {
namespace {

using Ids = std::vector<std::int32_t>;
using Windows = std::vector<Window>;

constexpr std::int32_t kLargest = 4'194'304;

// The ids of a text as a tokenizer yields them at once.
Ids whole(std::span<const std::int32_t> ids, const Cutting& cutting) {
  Ids all;
  if (cutting.bos) {
    all.push_back(*cutting.bos);
  }
  all.insert(all.end(), ids.begin(), ids.end());
  return all;
}

Windows cut_stream(std::span<const std::int32_t> ids, const Cutting& cutting) {
  Windows windows;
  const auto most = static_cast<std::int32_t>(cutting.most);
  for (Ids& sample : cut_samples(ids, cutting.bos, cutting.max_tokens, most)) {
    windows.push_back({.ids = std::move(sample)});
  }
  return windows;
}

Windows whole_windows(const Ids& all, const Cutting& cutting) {
  Windows windows;
  const auto length = static_cast<std::size_t>(cutting.max_tokens);
  for (std::size_t begin = 0; begin + length <= all.size() && windows.size() < cutting.most;
       begin += length) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(begin);
    windows.push_back({.ids = Ids(first, first + cutting.max_tokens)});
  }
  return windows;
}

Windows cut_gptq(std::span<const std::int32_t> ids, const Cutting& cutting) {
  return whole_windows(whole(ids, cutting), cutting);
}

Windows cut_llama_cpp(std::span<const std::int32_t> ids, const Cutting& cutting) {
  Windows windows = whole_windows(whole(ids, cutting), cutting);
  for (Window& window : windows) {
    window.ids.front() = cutting.bos.value_or(window.ids.front());
    // Position N / 2 is the first whose next token counts.
    window.first_scored = cutting.max_tokens / 2 + 1;
  }
  return windows;
}

Windows cut_stride(std::span<const std::int32_t> ids, const Cutting& cutting) {
  KVG_EXPECT(cutting.stride >= 1 && cutting.stride <= cutting.max_tokens,
             "windows leave no token between them");
  const Ids all = whole(ids, cutting);
  Windows windows;
  std::size_t scored = 0;  // ids before it are, or have nothing before them
  for (std::size_t begin = 0; scored < all.size() && windows.size() < cutting.most;
       begin += static_cast<std::size_t>(cutting.stride)) {
    const std::size_t end =
        std::min(begin + static_cast<std::size_t>(cutting.max_tokens), all.size());
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto before = static_cast<std::int32_t>(scored > begin ? scored - begin : 0);
    windows.push_back({.ids = Ids(first, all.begin() + static_cast<std::ptrdiff_t>(end)),
                       .first_scored = std::max(before, 1)});
    scored = end;
  }
  return windows;
}

std::string known_forms() {
  std::string list;
  for (const ConventionInfo& info : conventions()) {
    list += (list.empty() ? "" : ", ") + std::string(info.form);
  }
  return list;
}

}  // namespace

std::span<const ConventionInfo> conventions() {
  static const std::array kConventions{
      ConventionInfo{.name = "stream",
                     .form = "stream",
                     .summary = "stretches of --max-tokens, a BOS each, all but the first scored",
                     .whole_text = false,
                     .cut = cut_stream},
      ConventionInfo{.name = "gptq",
                     .form = "gptq-N",
                     .summary = "windows of N, one BOS before the text, all but the first scored",
                     .names_window = true,
                     .cut = cut_gptq},
      ConventionInfo{.name = "llama.cpp",
                     .form = "llama.cpp-N",
                     .summary = "windows of N, a BOS in place of each first, second half scored",
                     .names_window = true,
                     .cut = cut_llama_cpp},
      ConventionInfo{.name = "stride",
                     .form = "stride or stride-N",
                     .summary = "windows of --max-tokens, N (512) further each, new tokens scored",
                     .default_stride = 512,
                     .cut = cut_stride}};
  return kConventions;
}

Convention parse_convention(std::string_view text) {
  const std::size_t dash = text.rfind('-');
  const std::string_view name = text.substr(0, dash);
  const auto all = conventions();
  const auto found = std::ranges::find(all, name, &ConventionInfo::name);
  Convention result{.text = std::string(text), .info = found == all.end() ? nullptr : &*found};
  std::int32_t number = 0;
  if (dash != std::string_view::npos) {
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + dash + 1, end, number);
    const bool takes =
        result.info != nullptr && (result.info->names_window || result.info->default_stride > 0);
    if (error != std::errc{} || rest != end || !takes || number < 2 || number > kLargest) {
      result.info = nullptr;
    }
  } else if (result.info != nullptr && result.info->names_window) {
    result.info = nullptr;
  }
  if (result.info == nullptr) {
    throw InvalidArgument("--convention " + std::string(text) + " is unknown; allowed: " +
                          known_forms() + ", N from 2 to " + std::to_string(kLargest));
  }
  (result.info->names_window ? result.window : result.stride) =
      number > 0 ? number : result.info->default_stride;
  return result;
}

}  // namespace kvg::datasets
