#include "harness/output_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

namespace fs = std::filesystem;

// Fixed, so that what a kill leaves is found again, and unlike what anybody else names a file.
constexpr const char* kTemporary = ".tmp-kvgauge";
// Somebody else may have put a link or a pipe where it will be.
constexpr int kOpenTemporary = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

[[noreturn]] void refuse(const fs::path& file, const std::string& reason) {
  throw InvalidArgument("cannot write " + file.string() + ": " + reason);
}

[[noreturn]] void fail(const fs::path& file) {
  throw DataError("cannot write " + file.string() + ": " + std::strerror(errno));
}

void write(const fs::path& file, std::string_view document) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << document;
  out.close();
  if (!out) {
    fail(file);
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

// Closes at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }

 private:
  int value_;
};

// False once the file has been renamed or removed.
bool is_at(int descriptor, const fs::path& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(descriptor, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

fs::path temporary_of(fs::path target) {
  return target += kTemporary;
}

// Removes a temporary file that no other process writes to. What `flags` make open() answer.
int drop(const fs::path& temporary, int flags) {
  const int opened = ::open(temporary.c_str(), kOpenTemporary | flags, 0666);
  if (opened < 0) {
    return errno;
  }
  const Descriptor held(opened);
  if (::flock(opened, LOCK_EX | LOCK_NB) == 0 && is_at(opened, temporary)) {
    ::unlink(temporary.c_str());
  }
  return 0;
}

// Opens the temporary file for this process alone; what a kill left of one is used again.
int open_temporary(const fs::path& temporary) {
  while (true) {
    const int opened = ::open(temporary.c_str(), kOpenTemporary | O_CREAT, 0666);
    if (opened < 0) {
      fail(temporary);
    }
    // A file system without locks has no second writer to wait for either.
    while (::flock(opened, LOCK_EX) != 0 && errno == EINTR) {
    }
    if (is_at(opened, temporary)) {
      return opened;
    }
    // It has become the document of the one that held it before.
    ::close(opened);
  }
}

// In this order neither a kill nor a loss of power leaves less than one version whole.
void replace(const fs::path& target, std::string_view document) {
  const fs::path temporary = temporary_of(target);
  const Descriptor held(open_temporary(temporary));
  try {
    if (::ftruncate(held.get(), 0) != 0) {
      fail(target);
    }
    write_whole(held.get(), document, target);
    sync_file(held.get(), target);
    fs::rename(temporary, target);
  } catch (const std::exception&) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder_of(target);
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
  if (const int error = drop(temporary_of(target), O_CREAT); error != 0) {
    refuse(file, std::strerror(error));
  }
  return [target](std::string_view document) { replace(target, document); };
}

void drop_unfinished(const fs::path& file) {
  static_cast<void>(drop(temporary_of(file), 0));
}

void write_whole(int descriptor, std::string_view text, const fs::path& file) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      fail(file);
    }
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
  }
}

void sync_file(int descriptor, const fs::path& file) {
  // Pipes, devices and some file systems have nothing to bring to a disk.
  if (::fdatasync(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP) {
    fail(file);
  }
}

void sync_folder_of(const fs::path& file) {
  const fs::path folder = fs::absolute(file).parent_path();
  // One that cannot be read cannot be synchronised; its files are written all the same.
  if (const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); opened >= 0) {
    const Descriptor held(opened);
    sync_file(opened, folder);
  }
}

}  // namespace kvg::harness
