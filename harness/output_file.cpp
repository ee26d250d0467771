#include "harness/output_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <unistd.h>

#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& file, const std::string& reason) {
  throw InvalidArgument("cannot write " + file.string() + ": " + reason);
}

void write(const fs::path& file, std::string_view document) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << document;
  out.close();
  if (!out) {
    throw DataError("cannot write " + file.string() + ": " + std::strerror(errno));
  }
}

bool is_special(const fs::path& file) {
  return fs::exists(file) && !fs::is_regular_file(file);
}

}  // namespace

void check_writable(const fs::path& file) {
  if (file.empty()) {
    throw InvalidArgument("cannot write to a file without a name");
  }
  if (fs::is_directory(file)) {
    refuse(file, "it is a folder");
  }
  const fs::path folder = fs::absolute(file).parent_path();
  if (!fs::is_directory(folder)) {
    refuse(file, "there is no folder " + folder.string());
  }
  const bool exists = fs::exists(file);
  const fs::path& target = exists ? file : folder;
  if (access(target.c_str(), W_OK) != 0) {
    refuse(file, std::strerror(errno));
  }
}

Rewrite rewrite_file(const fs::path& file) {
  check_writable(file);
  if (is_special(file)) {
    return [file](std::string_view document) { write(file, document); };
  }
  // A link keeps pointing where it points; the file behind it is what changes.
  const fs::path target = fs::weakly_canonical(fs::absolute(file));
  fs::path temporary = target;
  temporary += ".tmp" + std::to_string(getpid());
  if (access(target.parent_path().c_str(), W_OK) != 0) {
    refuse(file, std::strerror(errno));
  }
  return [target, temporary](std::string_view document) {
    write(temporary, document);
    fs::rename(temporary, target);
  };
}

}  // namespace kvg::harness
