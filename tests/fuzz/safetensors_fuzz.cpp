// Headers of weight files: what a tensor is said to be lies in the file.

#include "model/safetensors.h"
#include "tests/fuzz/refusal.h"
#include "tests/fuzz/scratch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static kvg::fuzz::ScratchFile file("model.safetensors");
  const auto& path = file.write(data, size);
  kvg::fuzz::expect_taken_or_refused([&path] {
    const kvg::model::SafetensorsFile weights(path);
    if (const auto* const tensor = weights.find("w"); tensor != nullptr && tensor->bytes > 0) {
      // Reads the first and the last byte of what is mapped.
      const volatile std::byte* const bytes = weights.data(*tensor);
      static_cast<void>(bytes[0]);
      static_cast<void>(bytes[tensor->bytes - 1]);
    }
  });
  return 0;
}
