#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <sys/types.h>
#include <vector>

#include "tests/support/temp_folder.h"

namespace kvg::harness::report {

/// The Chromium of this machine, or an empty path.
[[nodiscard]] std::string find_chromium();

/// A headless Chromium with one page, driven over its DevTools protocol through a pipe. Everything
/// throws std::runtime_error when the browser does not answer.
class Browser {
 public:
  explicit Browser(const std::string& program);
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;
  ~Browser();

  /// One command to the page; yields its result, keeps the events that come in between.
  nlohmann::json send(const std::string& method, nlohmann::json params = nlohmann::json::object());

  /// Opens an address and waits until it is loaded.
  void open(const std::string& address);

  /// What an expression is in the page, or what its promise yields, as JSON.
  nlohmann::json evaluate(const std::string& expression);

  /// Errors and warnings of the page's console and exceptions that nobody caught, one line each.
  [[nodiscard]] std::vector<std::string> complaints() const;

  /// Every address that the page asked for.
  [[nodiscard]] std::vector<std::string> requests() const;

 private:
  nlohmann::json receive();
  nlohmann::json call(nlohmann::json message);

  testing_support::TempFolder profile_;
  pid_t process_ = -1;
  int to_ = -1;
  int from_ = -1;
  int last_id_ = 0;
  std::string session_;
  std::string unread_;
  std::vector<nlohmann::json> events_;
};

}  // namespace kvg::harness::report
