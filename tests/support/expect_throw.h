#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>

#include "kernels/core/error.h"

namespace kvg::testing_support {

/// Fails unless `call` throws an E whose message is one line and holds `part`.
template <typename E, typename Call>
void expect_throw(const Call& call, std::string_view part) {
  try {
    call();
    ADD_FAILURE() << "expected an error with: " << part;
  } catch (const E& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

template <typename Call>
void expect_invalid(const Call& call, std::string_view part) {
  expect_throw<InvalidArgument>(call, part);
}

}  // namespace kvg::testing_support
