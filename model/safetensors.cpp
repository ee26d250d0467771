#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "kernels/core/error.h"
#include "kernels/core/nesting.h"

namespace kvg::model {
namespace {

using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kLargestHeader = 100'000'000;
constexpr std::size_t kMostDims = 8;

struct DTypeEntry {
  std::string_view name;
  unsigned bits;
};

// The format's types: files may carry tensors that no model needs.
constexpr std::array kDTypes = {
    DTypeEntry{"F64", 64},    DTypeEntry{"F32", 32},    DTypeEntry{"F16", 16},
    DTypeEntry{"BF16", 16},   DTypeEntry{"F8_E4M3", 8}, DTypeEntry{"F8_E5M2", 8},
    DTypeEntry{"F8_E8M0", 8}, DTypeEntry{"F6_E2M3", 6}, DTypeEntry{"F6_E3M2", 6},
    DTypeEntry{"F4", 4},      DTypeEntry{"I64", 64},    DTypeEntry{"I32", 32},
    DTypeEntry{"I16", 16},    DTypeEntry{"I8", 8},      DTypeEntry{"U64", 64},
    DTypeEntry{"U32", 32},    DTypeEntry{"U16", 16},    DTypeEntry{"U8", 8},
    DTypeEntry{"BOOL", 8},    DTypeEntry{"C64", 64}};

// Refuses one tensor of one file. Names are not to be trusted, so they are quoted and escaped.
[[noreturn]] void refuse(const std::filesystem::path& file,
                         const std::string& tensor,
                         const std::string& message) {
  throw DataError(file.string() + ": tensor " + json(tensor).dump() + ": " + message);
}

// A header that names one tensor twice would silently lose the first: the parser tells us each key.
json parse_header(std::string_view text, const std::filesystem::path& file) {
  std::set<std::string> names;
  std::string twice;
  const auto callback = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1 &&
        !names.insert(value.get<std::string>()).second) {
      twice = value.get<std::string>();
    }
    return true;
  };
  if (nests_too_deep(text)) {
    throw DataError(file.string() + ": the header is nested too deep");
  }
  json header;
  try {
    header = json::parse(text, callback);
  } catch (const json::exception&) {
    throw DataError(file.string() + ": the header is not valid JSON");
  }
  if (!header.is_object()) {
    throw DataError(file.string() + ": the header is not a JSON object");
  }
  if (!twice.empty()) {
    refuse(file, twice, "listed twice");
  }
  return header;
}

// One tensor on its way out of the header.
struct Parser {
  const std::filesystem::path& file;
  const std::string& name;
  const json& value;
  std::size_t data_begin = 0;
  std::size_t data_bytes = 0;

  [[noreturn]] void fail(const std::string& message) const { refuse(file, name, message); }

  [[nodiscard]] std::vector<std::int64_t> shape() const {
    const auto it = value.find("shape");
    if (it == value.end() || !it->is_array() || it->size() > kMostDims) {
      fail("shape is missing or not a list of at most 8 numbers");
    }
    std::vector<std::int64_t> dims;
    for (const json& dim : *it) {
      if (!dim.is_number_unsigned() || dim.get<std::uint64_t>() > (1ULL << 40U)) {
        fail("shape " + it->dump() + " holds a size that is no number from 0 to 2^40");
      }
      dims.push_back(dim.get<std::int64_t>());
    }
    return dims;
  }

  [[nodiscard]] std::size_t bytes_of(const TensorEntry& entry) const {
    const auto* known = std::ranges::find(kDTypes, entry.dtype, &DTypeEntry::name);
    if (known == kDTypes.end()) {
      fail("unknown dtype \"" + entry.dtype + "\"");
    }
    std::uint64_t bits = known->bits;
    for (const std::int64_t dim : entry.shape) {
      if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(dim), &bits)) {
        fail("shape " + shape_text(entry.shape) + " is too large");
      }
    }
    return bits / 8;
  }

  [[nodiscard]] std::pair<std::size_t, std::size_t> offsets() const {
    const auto it = value.find("data_offsets");
    const bool good = it != value.end() && it->is_array() && it->size() == 2 &&
                      (*it)[0].is_number_unsigned() && (*it)[1].is_number_unsigned();
    if (!good) {
      fail("data_offsets is not a pair of numbers from 0 up");
    }
    const auto begin = (*it)[0].get<std::uint64_t>();
    const auto end = (*it)[1].get<std::uint64_t>();
    if (begin > end) {
      fail("data_offsets " + it->dump() + " are reversed");
    }
    if (end > data_bytes) {
      fail("data_offsets " + it->dump() + " end beyond the file's " + std::to_string(data_bytes) +
           " bytes of data");
    }
    return {begin, end};
  }

  [[nodiscard]] TensorEntry parse() const {
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string()) {
      fail("dtype is missing");
    }
    TensorEntry entry;
    entry.dtype = value["dtype"].get<std::string>();
    entry.shape = shape();
    entry.bytes = bytes_of(entry);
    const auto [begin, end] = offsets();
    if (end - begin != entry.bytes) {
      fail(entry.dtype + " " + shape_text(entry.shape) + " needs " + std::to_string(entry.bytes) +
           " bytes, data_offsets give " + std::to_string(end - begin));
    }
    entry.offset = data_begin + begin;
    return entry;
  }
};

void check_overlaps(const std::map<std::string, TensorEntry, std::less<>>& tensors,
                    const std::filesystem::path& file) {
  using Item = std::pair<const std::string, TensorEntry>;
  std::vector<const Item*> by_offset;
  for (const Item& item : tensors) {
    if (item.second.bytes > 0) {
      by_offset.push_back(&item);
    }
  }
  std::ranges::sort(by_offset, {}, [](const Item* item) { return item->second.offset; });
  for (std::size_t i = 1; i < by_offset.size(); ++i) {
    const Item& before = *by_offset[i - 1];
    if (before.second.offset + before.second.bytes > by_offset[i]->second.offset) {
      refuse(file, by_offset[i]->first, "overlaps tensor " + json(before.first).dump());
    }
  }
}

// The pages that lie wholly inside a range: a neighbour may still be needed.
void advise(const std::byte* data, std::size_t begin, std::size_t end, int advice) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  begin = (begin + page - 1) / page * page;
  end = end / page * page;
  if (begin < end) {
    // madvise() takes a plain void* but changes nothing that the mapping holds.
    ::madvise(const_cast<std::byte*>(data) + begin, end - begin, advice);
  }
}

}  // namespace

std::optional<DType> TensorEntry::weight_dtype() const {
  if (dtype == "F32") {
    return DType::kF32;
  }
  if (dtype == "F16") {
    return DType::kF16;
  }
  if (dtype == "BF16") {
    return DType::kBF16;
  }
  return std::nullopt;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t dim : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  }
  return text + "]";
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : path_(file) {
  map();
  try {
    read_header();
  } catch (...) {
    ::munmap(const_cast<std::byte*>(data_), bytes_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  ::munmap(const_cast<std::byte*>(data_), bytes_);
}

void SafetensorsFile::map() {
  const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor < 0 || ::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    throw DataError(path_.string() + ": missing or not readable");
  }
  bytes_ = static_cast<std::size_t>(status.st_size);
  if (bytes_ < kLengthBytes) {
    ::close(descriptor);
    throw DataError(path_.string() + ": " + std::to_string(bytes_) +
                    " bytes are too few for a safetensors file");
  }
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, descriptor, 0);
  ::close(descriptor);
  if (mapped == MAP_FAILED) {
    throw DataError(path_.string() + ": cannot be memory-mapped");
  }
  data_ = static_cast<const std::byte*>(mapped);
}

void SafetensorsFile::read_header() {
  std::uint64_t length = 0;
  std::memcpy(&length, data_, kLengthBytes);
  if (length > kLargestHeader || length > bytes_ - kLengthBytes) {
    throw DataError(path_.string() + ": header length " + std::to_string(length) +
                    " is beyond the file: " + std::to_string(bytes_ - kLengthBytes) +
                    " bytes follow it, and the format allows " + std::to_string(kLargestHeader));
  }
  const std::string_view text(
      static_cast<const char*>(static_cast<const void*>(data_)) + kLengthBytes, length);
  const json header = parse_header(text, path_);
  const std::size_t data_begin = kLengthBytes + length;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      const Parser parser{.file = path_,
                          .name = name,
                          .value = value,
                          .data_begin = data_begin,
                          .data_bytes = bytes_ - data_begin};
      tensors_.emplace(name, parser.parse());
    }
  }
  check_overlaps(tensors_, path_);
}

const TensorEntry* SafetensorsFile::find(std::string_view tensor) const {
  const auto it = tensors_.find(tensor);
  return it == tensors_.end() ? nullptr : &it->second;
}

void SafetensorsFile::will_need(const TensorEntry& tensor) const {
  advise(data_, tensor.offset, tensor.offset + tensor.bytes, MADV_WILLNEED);
}

void SafetensorsFile::give_back(const TensorEntry& tensor) const {
  advise(data_, tensor.offset, tensor.offset + tensor.bytes, MADV_DONTNEED);
}

}  // namespace kvg::model
