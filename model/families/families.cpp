#include "model/families/families.h"

#include <array>

namespace kvg::model {

std::span<const Family* const> families() {
  static constexpr std::array kFamilies = {&kLlama, &kMistral, &kQwen2, &kQwen3, &kGptNeox};
  return kFamilies;
}

}  // namespace kvg::model
