#pragma once

#include <stdexcept>
#include <string>

namespace kvg {

/// Base of everything this project throws. what() is one line fit for a user.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A value given by the caller or on the command line is outside what is allowed.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// A file is missing, broken, truncated or of an unknown format.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A device has too little memory left, or the limit set on its pool is reached.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// The CUDA runtime or one of its libraries reported a failure.
class CudaError : public Error {
 public:
  using Error::Error;
};

namespace detail {
[[noreturn]] void throw_invalid(const char* expression,
                                const std::string& message,
                                const char* file,
                                int line);
}  // namespace detail

}  // namespace kvg

/// Checks a precondition of a library call, always on. For what a user typed or a file holds, throw
/// InvalidArgument or DataError with a message of its own instead.
#define KVG_EXPECT(condition, message)                                         \
  do {                                                                         \
    if (!(condition)) {                                                        \
      ::kvg::detail::throw_invalid(#condition, (message), __FILE__, __LINE__); \
    }                                                                          \
  } while (false)
