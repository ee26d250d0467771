#include "tests/harness/report/browser.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace kvg::harness::report {
namespace {

using Json = nlohmann::json;

// Where Chromium reads commands and writes answers under --remote-debugging-pipe.
constexpr int kCommands = 3;
constexpr int kAnswers = 4;

// A machine with busy cores takes seconds to start it.
constexpr int kPatienceMs = 120'000;

[[noreturn]] void start(const std::string& program, const std::string& profile, int in, int out) {
  // Both ends first leave the numbers that they are to take.
  const int commands = fcntl(in, F_DUPFD, 10);
  const int answers = fcntl(out, F_DUPFD, 10);
  dup2(commands, kCommands);
  dup2(answers, kAnswers);
  const int nowhere = ::open("/dev/null", O_RDWR);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  const std::string folder = "--user-data-dir=" + profile;
  // Its sandbox refuses to run as root; the pages here are our own.
  execl(program.c_str(),
        program.c_str(),
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        folder.c_str(),
        "about:blank",
        static_cast<char*>(nullptr));
  _exit(127);
}

}  // namespace

std::string find_chromium() {
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    for (const char* name : {"/chromium", "/google-chrome"}) {
      if (access((folder + name).c_str(), X_OK) == 0) {
        return folder + name;
      }
    }
  }
  return {};
}

Browser::Browser(const std::string& program) {
  std::array<int, 2> commands{};
  std::array<int, 2> answers{};
  if (pipe(commands.data()) != 0 || pipe(answers.data()) != 0) {
    throw std::runtime_error("no pipe to the browser");
  }
  process_ = fork();
  if (process_ == 0) {
    // A group of its own, so that its helpers end with it.
    setpgid(0, 0);
    ::close(commands[1]);
    ::close(answers[0]);
    start(program, profile_.path().string(), commands[0], answers[1]);
  }
  ::close(commands[0]);
  ::close(answers[1]);
  to_ = commands[1];
  from_ = answers[0];
  const Json target =
      call({{"method", "Target.createTarget"}, {"params", {{"url", "about:blank"}}}});
  session_ = call({{"method", "Target.attachToTarget"},
                   {"params", {{"targetId", target.at("targetId")}, {"flatten", true}}}})
                 .at("sessionId");
  for (const char* domain : {"Page", "Runtime", "Log", "Network"}) {
    send(std::string(domain) + ".enable");
  }
}

Browser::~Browser() {
  ::close(to_);
  ::close(from_);
  kill(-process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

Json Browser::send(const std::string& method, Json params) {
  return call({{"method", method}, {"params", std::move(params)}, {"sessionId", session_}});
}

void Browser::open(const std::string& address) {
  events_.clear();
  send("Page.navigate", {{"url", address}});
  const auto is_loaded = [this] {
    return std::ranges::any_of(
        events_, [](const Json& event) { return event.at("method") == "Page.loadEventFired"; });
  };
  while (!is_loaded()) {
    events_.push_back(receive());
  }
}

Json Browser::evaluate(const std::string& expression) {
  const Json result =
      send("Runtime.evaluate",
           {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
  if (result.contains("exceptionDetails")) {
    throw std::runtime_error(expression + ": " + result.at("exceptionDetails").dump());
  }
  return result.at("result").value("value", Json());
}

std::vector<std::string> Browser::complaints() const {
  std::vector<std::string> lines;
  for (const Json& event : events_) {
    const std::string method = event.at("method");
    const Json& params = event.at("params");
    const bool is_error = method == "Runtime.exceptionThrown" || method == "Log.entryAdded" ||
                          (method == "Runtime.consoleAPICalled" &&
                           (params.at("type") == "error" || params.at("type") == "warning"));
    if (is_error) {
      lines.push_back(params.dump());
    }
  }
  return lines;
}

std::vector<std::string> Browser::requests() const {
  std::vector<std::string> addresses;
  for (const Json& event : events_) {
    if (event.at("method") == "Network.requestWillBeSent") {
      addresses.push_back(event.at("params").at("request").at("url"));
    }
  }
  return addresses;
}

Json Browser::call(Json message) {
  message["id"] = ++last_id_;
  const std::string text = message.dump();
  // Every message ends with a zero.
  if (write(to_, text.c_str(), text.size() + 1) != static_cast<ssize_t>(text.size() + 1)) {
    throw std::runtime_error("the browser takes no command");
  }
  while (true) {
    Json answer = receive();
    if (!answer.contains("id")) {
      events_.push_back(std::move(answer));
    } else if (answer.contains("error")) {
      throw std::runtime_error(text + ": " + answer.at("error").dump());
    } else if (answer.at("id") == last_id_) {
      return answer.at("result");
    }
  }
}

Json Browser::receive() {
  std::size_t end = unread_.find('\0');
  while (end == std::string::npos) {
    pollfd ready{.fd = from_, .events = POLLIN, .revents = 0};
    std::array<char, 65536> block{};
    if (poll(&ready, 1, kPatienceMs) <= 0) {
      throw std::runtime_error("the browser does not answer");
    }
    const ssize_t size = read(from_, block.data(), block.size());
    if (size <= 0) {
      throw std::runtime_error("the browser has ended");
    }
    unread_.append(block.data(), static_cast<std::size_t>(size));
    end = unread_.find('\0');
  }
  Json message = Json::parse(unread_.substr(0, end));
  unread_.erase(0, end + 1);
  return message;
}

}  // namespace kvg::harness::report
