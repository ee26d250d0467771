#include "harness/task_workload.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "datasets/question_file.h"
#include "datasets/task.h"
#include "datasets/text_file.h"
#include "harness/prompt_ids.h"
#include "harness/question_workload.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"
#include "model/stop_tokens.h"

namespace kvg::harness {
namespace {

using Ids = std::vector<std::int32_t>;

void add_question(const datasets::TaskInfo& task,
                  const datasets::TaskSample& sample,
                  const Asked& asked,
                  Workload& workload) {
  const auto& tokenizer = asked.tokenizer;
  const std::string prompt = sample.prompt.context + sample.prompt.question;
  workload.samples.push_back(encode_prompt(*tokenizer, prompt));
  Answer blank{.task = sample.task,
               .depth = task.has_depth ? std::optional(sample.depth) : std::nullopt,
               .prompt_sha256 = sha256_hex(prompt),
               .text = {},
               .score = 0.0};
  workload.questions.push_back(
      {.context_tokens =
           shared_tokens(workload.samples.back(), encode_prompt(*tokenizer, sample.prompt.context)),
       .answer_tokens = task.answer_tokens,
       .stops = model::stop_tokens(asked.source.folder, asked.source.config.vocab),
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
              const Asked& asked,
              Workload& workload) {
  const datasets::CountTokens count = [&asked](std::string_view text) {
    return encode_prompt(*asked.tokenizer, text).size();
  };
  const std::vector<std::int32_t> depths =
      task.has_depth ? task_choice(experiment).depths : std::vector<std::int32_t>{0};
  const std::int32_t samples = value_of(experiment, &Experiment::num_samples);
  std::uint64_t seed = experiment.seed * 1'000'003;
  for (const std::int32_t depth : depths) {
    for (std::int32_t i = 0; i < samples; ++i) {
      const datasets::TaskRequest request{
          .context = static_cast<std::size_t>(*workload.context), .depth = depth, .seed = ++seed};
      add_question(task, datasets::make_sample(task, request, count), asked, workload);
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
    throw InvalidArgument("dataset \"" + dataset + "\" is no task; known: " + known +
                          ", or a file of questions in JSON lines (.jsonl)");
  }
  return chosen;
}

bool is_file(const std::string& dataset) {
  return dataset != kAllTasks && datasets::find_task(dataset) == nullptr &&
         datasets::is_json_lines(dataset) && std::filesystem::is_regular_file(dataset);
}

// One workload a context.
std::vector<Workload> workloads_of(const std::string& dataset,
                                   const Experiment& experiment,
                                   const Asked& asked) {
  std::vector<Workload> workloads;
  for (const std::int32_t context : task_choice(experiment).contexts) {
    Workload& workload = workloads.emplace_back();
    workload.dataset = dataset;
    workload.scored = false;
    workload.context = context;
    for (const datasets::TaskInfo* const task : tasks_of(dataset)) {
      add_task(*task, experiment, asked, workload);
    }
  }
  return workloads;
}

// All names are known before the first text is tokenised, which takes longer.
void check_datasets(const std::vector<std::string>& names, const Experiment& experiment) {
  bool any_task = false;
  for (const std::string& name : names) {
    if (!is_file(name)) {
      static_cast<void>(tasks_of(name));
      any_task = true;
    }
  }
  if (!any_task && !experiment.depths.empty()) {
    throw InvalidArgument("--depth means nothing to dataset " + names.front() +
                          ", whose lines say what is asked");
  }
}

}  // namespace

bool is_task(std::string_view dataset) {
  return dataset == kAllTasks || datasets::find_task(dataset) != nullptr ||
         datasets::asks_questions(dataset);
}

std::vector<Workload> make_task_workloads(const Experiment& experiment,
                                          const model::ModelSource& source,
                                          const Warn& warn) {
  std::vector<std::string> names = experiment.datasets;
  if (names.empty()) {
    names.emplace_back(datasets::tasks().front().name);
  }
  check_datasets(names, experiment);
  const Asked asked{
      .source = source, .tokenizer = model::load_tokenizer(source.folder), .warn = warn};
  std::vector<Workload> workloads;
  for (const std::string& name : names) {
    auto more = is_file(name) ? make_question_workloads(name, experiment, asked)
                              : workloads_of(name, experiment, asked);
    std::ranges::move(more, std::back_inserter(workloads));
  }
  return workloads;
}

}  // namespace kvg::harness
