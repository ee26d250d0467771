#include "harness/output_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <system_error>
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

// What the system says of a path; nothing is there when it says nothing.
fs::file_status status_of(const fs::path& file) {
  std::error_code error;
  return fs::status(file, error);
}

bool is_special(const fs::path& file) {
  const fs::file_status status = status_of(file);
  return fs::exists(status) && !fs::is_regular_file(status);
}

// Opens `probe` as a write would and leaves it as it was: permissions alone tell too little (root,
// names too long, file systems without files of their own).
void try_to_write(const fs::path& probe, const fs::path& file) {
  const fs::file_status status = status_of(probe);
  const bool exists = fs::exists(status);
  const int create = exists ? 0 : O_CREAT | O_EXCL;
  // A pipe without a reader is opened by the write itself.
  if (fs::is_fifo(status)) {
    return;
  }
  const int descriptor = ::open(probe.c_str(), O_WRONLY | O_CLOEXEC | create, 0666);
  if (descriptor < 0) {
    refuse(file, std::strerror(errno));
  }
  ::close(descriptor);
  if (!exists) {
    ::unlink(probe.c_str());
  }
}

}  // namespace

void check_writable(const fs::path& file) {
  if (file.empty()) {
    throw InvalidArgument("cannot write to a file without a name");
  }
  if (fs::is_directory(status_of(file))) {
    refuse(file, "it is a folder");
  }
  const fs::path folder = fs::absolute(file).parent_path();
  if (const fs::file_status status = status_of(folder);
      status.type() == fs::file_type::not_found ||
      (fs::exists(status) && !fs::is_directory(status))) {
    refuse(file, "there is no folder " + folder.string());
  }
  std::error_code error;
  if (fs::is_symlink(file, error) && !fs::exists(status_of(file))) {
    refuse(file, "it is a link to a file that does not exist");
  }
  try_to_write(file, file);
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
  try_to_write(temporary, file);
  return [target, temporary](std::string_view document) {
    write(temporary, document);
    fs::rename(temporary, target);
  };
}

}  // namespace kvg::harness
