#include "harness/workload.h"

#include <algorithm>
#include <memory>
#include <random>

#include "datasets/text.h"
#include "harness/task_workload.h"
#include "kernels/core/error.h"
#include "model/tokenizer.h"

namespace kvg::harness {
namespace {

void check_ids(const std::vector<std::int32_t>& ids, const model::Config& config) {
  const auto outside = std::ranges::find_if(
      ids, [&config](std::int32_t id) { return id < 0 || id >= config.vocab; });
  if (outside != ids.end()) {
    throw DataError("model " + config.name + ": its tokenizer yields id " +
                    std::to_string(*outside) + ", but config.json has vocab_size " +
                    std::to_string(config.vocab));
  }
}

// What every text of an experiment is cut with.
struct Cutting {
  const Experiment& experiment;
  const model::Config& config;
  const model::Tokenizer& tokenizer;
  const Warn& warn;
};

// The windows of a text that have enough tokens, as the experiment's convention cuts it.
void cut_text(const std::vector<std::int32_t>& ids, const Cutting& cutting, Workload& workload) {
  const Experiment& experiment = cutting.experiment;
  const datasets::Convention convention = convention_of(experiment);
  const auto least =
      static_cast<std::size_t>(find_protocol(experiment.protocol).least_tokens(experiment));
  std::size_t short_ones = 0;
  for (datasets::Window& window :
       convention.info->cut(ids,
                            {.bos = cutting.tokenizer.bos(),
                            .max_tokens = convention.window,
                            .stride = convention.stride,
                            .most = static_cast<std::size_t>(most_samples(experiment))})) {
    if (window.ids.size() < least) {
      ++short_ones;
      continue;
    }
    workload.samples.push_back(std::move(window.ids));
    workload.first_scored.push_back(window.first_scored);
  }
  if (short_ones > 0) {
    cutting.warn("dataset " + workload.dataset + ": skipped " + std::to_string(short_ones) +
                 " sample(s) of fewer than " + std::to_string(least) + " tokens");
  }
  if (workload.samples.empty()) {
    throw InvalidArgument("dataset " + workload.dataset + ": no sample is left; its " +
                          std::to_string(ids.size()) + " tokens give none of at least " +
                          std::to_string(convention.info->names_window
                                             ? convention.window
                                             : static_cast<std::int32_t>(least)));
  }
}

// Text of its own would lose what a tokenizer takes for the space before a text, so a token goes
// before what is counted.
std::size_t bytes_of(const model::Tokenizer& tokenizer, std::span<const std::int32_t> ids) {
  if (ids.empty()) {
    return 0;
  }
  std::vector<std::int32_t> after{ids.front()};
  const std::size_t before = tokenizer.decode(after).size();
  after.insert(after.end(), ids.begin(), ids.end());
  return tokenizer.decode(after).size() - before;
}

Workload text_workload(const datasets::Text& text, const Cutting& cutting) {
  const std::vector<std::int32_t> ids = cutting.tokenizer.encode(text.content);
  check_ids(ids, cutting.config);
  Workload workload{.dataset = text.name, .sha256 = text.sha256, .scored = true};
  cut_text(ids, cutting, workload);
  const std::int32_t wanted = most_samples(cutting.experiment);
  const auto cut = static_cast<std::int32_t>(workload.samples.size());
  if (cut < wanted && wanted != kAllSamples) {
    cutting.warn("dataset " + text.name + ": " + std::to_string(cut) + " of " +
                 std::to_string(wanted) + " samples; the text ends there");
  }
  return workload;
}

Workload random_workload(const Experiment& experiment, const model::Config& config) {
  Workload workload{.dataset = "random", .sha256 = "", .scored = false, .samples = {}};
  std::size_t length = 0;
  std::size_t count = 1;
  if (find_protocol(experiment.protocol).reads_text) {
    length = static_cast<std::size_t>(value_of(experiment, &Experiment::max_tokens));
    count = static_cast<std::size_t>(value_of(experiment, &Experiment::num_samples));
  } else {
    length = static_cast<std::size_t>(value_of(experiment, &Experiment::batch)) *
             static_cast<std::size_t>(value_of(experiment, &Experiment::prompt_len));
    workload.repeats = value_of(experiment, &Experiment::repetitions);
  }
  const auto ids = random_ids(experiment.seed, count * length, config.vocab);
  for (std::size_t first = 0; first < ids.size(); first += length) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
    workload.samples.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(length));
  }
  return workload;
}

void warn_of_positions(const Experiment& experiment,
                       const model::Config& config,
                       const Workload& workload,
                       const Warn& warn) {
  const model::RunShape shape = find_protocol(experiment.protocol).shape(experiment, workload);
  if (config.max_positions > 0 && shape.tokens > config.max_positions) {
    warn("dataset " + workload.dataset + ": " + std::to_string(shape.tokens) +
         " tokens are fed, but model " + config.name + " has max_position_embeddings " +
         std::to_string(config.max_positions));
  }
}

}  // namespace

std::vector<Workload> make_workloads(const Experiment& experiment,
                                     const model::ModelSource& source,
                                     const Warn& warn) {
  std::vector<Workload> workloads;
  if (experiment.protocol == "task") {
    workloads = make_task_workloads(experiment, source, warn);
  } else if (source.synthetic || !find_protocol(experiment.protocol).reads_text) {
    workloads.push_back(random_workload(experiment, source.config));
  } else {
    std::vector<std::string> names = experiment.datasets;
    if (names.empty()) {
      names.push_back(datasets::shipped_texts().front());
    }
    // Every text is found before the first is tokenised, which takes longer.
    std::vector<datasets::Text> texts;
    texts.reserve(names.size());
    for (const std::string& name : names) {
      texts.push_back(datasets::load_text(name));
    }
    // Shared: every workload counts bytes with it.
    const std::shared_ptr<const model::Tokenizer> tokenizer = model::load_tokenizer(source.folder);
    for (const datasets::Text& text : texts) {
      workloads.push_back(text_workload(text, {experiment, source.config, *tokenizer, warn}));
      workloads.back().bytes_of = [tokenizer](std::span<const std::int32_t> ids) {
        return bytes_of(*tokenizer, ids);
      };
    }
  }
  for (const Workload& workload : workloads) {
    warn_of_positions(experiment, source.config, workload, warn);
  }
  return workloads;
}

std::vector<Setting> settings_of(const Experiment& experiment, const Workload& workload) {
  std::vector<Setting> settings = settings_of(experiment);
  for (const Setting& decided : workload.settings) {
    const auto found = std::ranges::find(settings, decided.name, &Setting::name);
    KVG_EXPECT(found != settings.end(), "a dataset decides what is a setting");
    found->value = decided.value;
  }
  return settings;
}

std::vector<std::int32_t> random_ids(std::uint64_t seed, std::size_t count, int vocab) {
  // The engine is specified to the bit, the standard distributions are not.
  std::mt19937_64 engine(seed);
  std::vector<std::int32_t> ids(count);
  std::ranges::generate(ids, [&engine, vocab] {
    return static_cast<std::int32_t>(engine() % static_cast<std::uint64_t>(vocab));
  });
  return ids;
}

}  // namespace kvg::harness
