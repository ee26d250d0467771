#include "harness/record_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "harness/output_file.h"
#include "kernels/core/error.h"
#include "kernels/core/nesting.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string text_of(const Json& line) {
  // A path may hold bytes that are no UTF-8; they must not lose the run.
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

int open_file(const fs::path& file, int flags) {
  const int descriptor = ::open(file.c_str(), flags | O_WRONLY | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    throw InvalidArgument("cannot write " + file.string() + ": " + std::strerror(errno));
  }
  return descriptor;
}

// The bytes behind the last end of line, and where they begin.
std::string last_line(const fs::path& file, std::uintmax_t& begin) {
  constexpr std::uintmax_t kBlock = 1 << 16;
  std::ifstream in(file, std::ios::binary);
  std::string tail;
  begin = fs::file_size(file);
  while (begin > 0) {
    const std::uintmax_t size = std::min(begin, kBlock);
    std::string block(size, '\0');
    in.seekg(static_cast<std::streamoff>(begin - size));
    if (!in.read(block.data(), static_cast<std::streamsize>(size))) {
      throw DataError("cannot read " + file.string());
    }
    const std::size_t end = block.rfind('\n');
    const std::size_t from = end == std::string::npos ? 0 : end + 1;
    tail.insert(0, block, from);
    begin -= size - from;
    if (end != std::string::npos) {
      break;
    }
  }
  return tail;
}

}  // namespace

RecordFile::RecordFile(fs::path file) : file_(std::move(file)) {
  check_writable(file_);
  std::error_code error;
  const fs::file_status status = fs::status(file_, error);
  regular_ = !fs::exists(status) || fs::is_regular_file(status);
  if (regular_) {
    file_ = fs::weakly_canonical(fs::absolute(file_));
  }
  hold(open_file(file_, O_CREAT | O_APPEND));
  if (regular_) {
    sync_folder_of(file_);
    drop_unfinished(file_);
    repair();
  }
}

RecordFile::~RecordFile() {
  ::close(descriptor_);
}

void RecordFile::hold(int descriptor) {
  if (regular_ && ::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor);
    throw InvalidArgument("cannot write " + file_.string() +
                          ": another run or sweep is writing to it");
  }
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  descriptor_ = descriptor;
}

void RecordFile::repair() {
  std::uintmax_t begin = 0;
  const std::string tail = last_line(file_, begin);
  if (tail.empty()) {
    return;
  }
  if (Json::parse(tail, nullptr, false).is_object()) {
    write("\n");
  } else if (tail.front() == '{') {
    fs::resize_file(file_, begin);
  } else {
    throw InvalidArgument("cannot append to " + file_.string() +
                          ": its last line is no record, so it is no file of --jsonl");
  }
}

void RecordFile::write(std::string_view text) const {
  write_whole(descriptor_, text, file_);
  sync_file(descriptor_, file_);
}

std::vector<Json> RecordFile::read() const {
  std::vector<Json> lines;
  if (!regular_) {
    return lines;
  }
  std::ifstream in(file_, std::ios::binary);
  std::string text;
  while (std::getline(in, text)) {
    lines.push_back(nests_too_deep(text) ? Json() : Json::parse(text, nullptr, false));
    if (!lines.back().is_object()) {
      throw DataError("line " + std::to_string(lines.size()) + " of " + file_.string() +
                      " is no record; remove it or write to another file");
    }
  }
  return lines;
}

void RecordFile::append(const Json& line) {
  write(text_of(line));
}

void RecordFile::replace(std::size_t index, const Json& line) {
  std::string document;
  {
    std::ifstream in(file_, std::ios::binary);
    std::string text;
    for (std::size_t at = 0; std::getline(in, text); ++at) {
      document += at == index ? text_of(line) : text + "\n";
    }
  }
  rewrite_file(file_)(document);
  hold(open_file(file_, O_APPEND));
}

}  // namespace kvg::harness
