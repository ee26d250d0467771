#include "harness/sweep_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "harness/choices.h"
#include "harness/plain_text.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestFile = std::size_t{1} << 20U;
constexpr std::size_t kMostValues = 1000;
constexpr std::size_t kLongestValue = 4096;

// What a file says of one choice.
struct Entry {
  std::string key;
  std::vector<std::string> values;
};

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
  throw DataError("sweep file " + name + ": " + reason);
}

void add_entry(Entry entry, const std::string& name, std::vector<Entry>& entries) {
  if (!is_plain(entry.key) || entry.key.size() > kLongestValue) {
    refuse(name, "a key is no plain word");
  }
  if (std::ranges::find(entries, entry.key, &Entry::key) != entries.end()) {
    refuse(name, entry.key + " is there more than once");
  }
  if (entry.values.empty() || entry.values.size() > kMostValues) {
    refuse(name,
           entry.key + " has " + std::to_string(entry.values.size()) + " values; allowed: 1 to " +
               std::to_string(kMostValues));
  }
  for (const std::string& value : entry.values) {
    if (value.empty() || value.size() > kLongestValue || !is_plain(value)) {
      refuse(name,
             entry.key + " has a value that is empty, longer than " +
                 std::to_string(kLongestValue) + " bytes, or not plain text");
    }
  }
  entries.push_back(std::move(entry));
}

[[noreturn]] void refuse_value(const std::string& name, const std::string& key) {
  refuse(name,
         (is_plain(key) ? key : "a key") +
             " has a value that is neither a text, a number nor a list of them");
}

std::string value_of(const Json& value, const std::string& name, const std::string& key) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_number() && !value.is_boolean()) {
    refuse_value(name, key);
  }
  return value.dump();
}

std::vector<Entry> read_json(std::string_view text, const std::string& name) {
  // The parser keeps the last of equal keys and says nothing.
  std::set<std::string> seen;
  std::string twice;
  const auto watch = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    if (depth == 1 && event == Json::parse_event_t::key &&
        !seen.insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return true;
  };
  const Json document = Json::parse(text, watch, false);
  if (!document.is_object()) {
    refuse(name, document.is_discarded() ? "it is no JSON" : "it holds no object");
  }
  if (!twice.empty()) {
    refuse(name, (is_plain(twice) ? twice : "a key") + " is there more than once");
  }
  std::vector<Entry> entries;
  for (const auto& [key, value] : document.items()) {
    Entry entry{.key = key, .values = {}};
    if (value.is_array()) {
      for (const Json& item : value) {
        entry.values.push_back(value_of(item, name, key));
      }
    } else {
      entry.values.push_back(value_of(value, name, key));
    }
    add_entry(std::move(entry), name, entries);
  }
  return entries;
}

// Reads past documents and keeps nothing.
class Skip final : public YAML::EventHandler {
 public:
  using Mark = YAML::Mark;
  using Style = YAML::EmitterStyle::value;

  void OnDocumentStart(const Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const Mark&, YAML::anchor_t) override {}
  void OnAlias(const Mark&, YAML::anchor_t) override {}
  void OnScalar(const Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const Mark&, const std::string&, YAML::anchor_t, Style) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const Mark&, const std::string&, YAML::anchor_t, Style) override {}
  void OnMapEnd() override {}
};

// Whether one document is all of it. The library's way to load all of them never ends where what
// follows one begins none: "a",
bool is_one_document(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  Skip skip;
  return parser.HandleNextDocument(skip) && !parser.HandleNextDocument(skip);
}

std::vector<Entry> read_yaml(std::string_view text, const std::string& name) {
  std::vector<Entry> entries;
  try {
    const std::string whole(text);
    const YAML::Node document = is_one_document(whole) ? YAML::Load(whole) : YAML::Node();
    if (!document.IsMap()) {
      refuse(name, "it is not one YAML mapping");
    }
    for (const auto& pair : document) {
      if (!pair.first.IsScalar()) {
        refuse(name, "a key is no plain word");
      }
      Entry entry{.key = pair.first.Scalar(), .values = {}};
      const auto add = [&](const YAML::Node& value) {
        if (!value.IsScalar()) {
          refuse_value(name, entry.key);
        }
        entry.values.push_back(value.Scalar());
      };
      if (pair.second.IsSequence()) {
        std::for_each(pair.second.begin(), pair.second.end(), add);
      } else {
        add(pair.second);
      }
      add_entry(std::move(entry), name, entries);
    }
  } catch (const YAML::Exception& error) {
    refuse(name, one_line(error.what()));
  }
  return entries;
}

std::string known_keys() {
  std::string keys = "contexts";
  for (const Choice& choice : choices()) {
    std::string key = choice.plural.empty() ? choice.flag.substr(2) : choice.plural;
    std::ranges::replace(key, '-', '_');
    keys += ", " + key;
  }
  return keys;
}

// The flag that a key means; "--contexts" waits for the protocol.
std::string flag_of(const std::string& key, const std::string& name) {
  std::string word = key;
  std::ranges::replace(word, '_', '-');
  if (word == "contexts") {
    return "--contexts";
  }
  for (const Choice& choice : choices()) {
    if ("--" + word == choice.flag || (!choice.plural.empty() && word == choice.plural)) {
      return choice.flag;
    }
  }
  throw InvalidArgument("sweep file " + name + ": nothing is called \"" + key +
                        "\"; known: " + known_keys());
}

void give(const std::string& flag, const Entry& entry, Grid& grid) {
  const std::vector<Choice> all = choices();
  const Choice& choice = *std::ranges::find(all, flag, &Choice::flag);
  if (choice.takes == Choice::Takes::kRepeated) {
    for (const std::string& value : entry.values) {
      choice.give(grid, value);
    }
    return;
  }
  if (choice.takes != Choice::Takes::kList && entry.values.size() > 1) {
    throw InvalidArgument(entry.key + " takes one value");
  }
  std::string joined;
  for (const std::string& value : entry.values) {
    joined += (joined.empty() ? "" : ",") + value;
  }
  choice.give(grid, joined);
}

std::string length_flag(const Grid& grid) {
  const std::string protocol = protocol_of(grid);
  return protocol == "task" ? "--context" : protocol == "speed" ? "--prompt-len" : "--max-tokens";
}

}  // namespace

Grid parse_sweep(std::string_view text, SweepFormat format, const std::string& name) {
  const std::vector<Entry> entries =
      format == SweepFormat::kJson ? read_json(text, name) : read_yaml(text, name);
  Grid grid;
  std::set<std::string> given;
  const auto take = [&](const std::string& flag, const Entry& entry) {
    try {
      if (!given.insert(flag).second) {
        throw InvalidArgument(entry.key + " says again what another key says");
      }
      give(flag, entry, grid);
    } catch (const InvalidArgument& error) {
      throw InvalidArgument("sweep file " + name + ": " + error.what());
    }
  };
  const Entry* contexts = nullptr;
  for (const Entry& entry : entries) {
    const std::string flag = flag_of(entry.key, name);
    if (flag == "--contexts") {
      contexts = &entry;
    } else {
      take(flag, entry);
    }
  }
  if (contexts != nullptr) {
    take(length_flag(grid), *contexts);
  }
  // The ranges' own yields a subrange, which clang 14 cannot read.
  std::stable_partition(grid.policies.begin(), grid.policies.end(), [](const std::string& policy) {
    return policy == "baseline";
  });
  return grid;
}

Grid read_sweep(const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  if (ending != ".json" && ending != ".yaml" && ending != ".yml") {
    throw InvalidArgument("sweep file " + file.string() +
                          " has no known ending; allowed: .json, .yaml, .yml");
  }
  std::ifstream in(file, std::ios::binary);
  std::string text(kLargestFile + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.gcount() == 0 && !in.eof()) {
    refuse(file.string(), "it cannot be read");
  }
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kLargestFile) {
    refuse(file.string(), "it has more than the 1 MiB allowed");
  }
  return parse_sweep(
      text, ending == ".json" ? SweepFormat::kJson : SweepFormat::kYaml, file.string());
}

}  // namespace kvg::harness
