#include "harness/task_workload.h"

#include <algorithm>
#include <memory>

#include "datasets/task.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"
#include "model/tokenizer.h"

namespace kvg::harness {
namespace {

using Ids = std::vector<std::int32_t>;

// What every question is written for. Questions outlive the workload's maker and share it.
using SharedTokenizer = std::shared_ptr<const model::Tokenizer>;

Ids encode(const model::Tokenizer& tokenizer, std::string_view text) {
  Ids ids = tokenizer.encode(text);
  if (tokenizer.bos()) {
    ids.insert(ids.begin(), *tokenizer.bos());
  }
  return ids;
}

// Tokens of the prompt that the context alone begins with too.
std::size_t shared_tokens(const Ids& prompt, const Ids& context) {
  const auto [mine, other] = std::ranges::mismatch(prompt, context);
  static_cast<void>(other);
  return static_cast<std::size_t>(mine - prompt.begin());
}

void add_question(const datasets::TaskInfo& task,
                  const datasets::TaskSample& sample,
                  const SharedTokenizer& tokenizer,
                  Workload& workload) {
  const std::string prompt = sample.prompt.context + sample.prompt.question;
  workload.samples.push_back(encode(*tokenizer, prompt));
  Answer blank{.task = sample.task,
               .depth = task.has_depth ? std::optional(sample.depth) : std::nullopt,
               .prompt_sha256 = sha256_hex(prompt),
               .text = {},
               .score = 0.0};
  workload.questions.push_back(
      {.context_tokens =
           shared_tokens(workload.samples.back(), encode(*tokenizer, sample.prompt.context)),
       .answer_tokens = task.answer_tokens,
       .grade = [blank = std::move(blank),
                 references = sample.references,
                 score = task.score,
                 tokenizer](const Ids& generated) {
         Answer answer = blank;
         answer.text = tokenizer->decode(generated);
         answer.score = score(answer.text, references);
         return answer;
       }});
}

void add_task(const datasets::TaskInfo& task,
              const Experiment& experiment,
              const SharedTokenizer& tokenizer,
              Workload& workload) {
  const datasets::CountTokens count = [&tokenizer](std::string_view text) {
    return encode(*tokenizer, text).size();
  };
  const std::vector<std::int32_t> depths =
      task.has_depth ? task_choice(experiment).depths : std::vector<std::int32_t>{0};
  const std::int32_t samples = value_of(experiment, &Experiment::num_samples);
  std::uint64_t seed = experiment.seed * 1'000'003;
  for (const std::int32_t depth : depths) {
    for (std::int32_t i = 0; i < samples; ++i) {
      const datasets::TaskRequest request{
          .context = static_cast<std::size_t>(*workload.context), .depth = depth, .seed = ++seed};
      add_question(task, datasets::make_sample(task, request, count), tokenizer, workload);
    }
  }
}

std::vector<const datasets::TaskInfo*> tasks_of(const std::string& dataset) {
  std::vector<const datasets::TaskInfo*> chosen;
  std::string known(kAllTasks);
  for (const datasets::TaskInfo& task : datasets::tasks()) {
    known += ", " + std::string(task.name);
    if (dataset == kAllTasks || dataset == task.name) {
      chosen.push_back(&task);
    }
  }
  if (chosen.empty()) {
    throw InvalidArgument("dataset \"" + dataset + "\" is no task; known: " + known);
  }
  return chosen;
}

}  // namespace

bool is_task(std::string_view dataset) {
  return dataset == kAllTasks || datasets::find_task(dataset) != nullptr;
}

std::vector<Workload> make_task_workloads(const Experiment& experiment,
                                          const model::ModelSource& source) {
  std::vector<std::string> names = experiment.datasets;
  if (names.empty()) {
    names.emplace_back(datasets::tasks().front().name);
  }
  std::vector<std::vector<const datasets::TaskInfo*>> chosen;
  std::ranges::transform(names, std::back_inserter(chosen), tasks_of);
  const SharedTokenizer tokenizer = model::load_tokenizer(source.folder);
  const std::vector<std::int32_t> contexts = task_choice(experiment).contexts;
  std::vector<Workload> workloads;
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (const std::int32_t context : contexts) {
      Workload& workload = workloads.emplace_back();
      workload.dataset = names[i];
      workload.scored = false;
      workload.context = context;
      for (const datasets::TaskInfo* const task : chosen[i]) {
        add_task(*task, experiment, tokenizer, workload);
      }
    }
  }
  return workloads;
}

}  // namespace kvg::harness
