// Prefills a prompt, cuts the cache and answers greedily. With --query aware the question is part
// of what is prefilled, so the cut has seen it; with agnostic the text before it is prefilled and
// cut alone, and the question is fed step by step through the cut cache.

#include <algorithm>
#include <array>
#include <map>

#include "harness/meter.h"
#include "harness/protocols/protocols.h"
#include "harness/protocols/text.h"
#include "harness/statistics.h"
#include "harness/summary.h"

namespace kvg::harness {
namespace {

constexpr std::array kNoTarget{model::kNoTarget};

std::size_t prompt_tokens(const Experiment& experiment,
                          std::size_t tokens,
                          const Question& question) {
  return task_choice(experiment).query == "agnostic" ? question.context_tokens : tokens;
}

model::RunShape shape(const Experiment& experiment, const Workload& workload) {
  std::size_t longest = 0;
  std::size_t shortest = workload.samples.front().size();
  std::size_t most = 0;
  for (std::size_t i = 0; i < workload.samples.size(); ++i) {
    const std::size_t tokens = workload.samples[i].size();
    const Question& question = workload.questions[i];
    const std::size_t prompt = prompt_tokens(experiment, tokens, question);
    longest = std::max(longest, prompt);
    shortest = std::min(shortest, prompt);
    // The last token generated is fed to nobody.
    most = std::max(most, tokens + static_cast<std::size_t>(question.answer_tokens) - 1);
  }
  return {.batch = 1,
          .prompt = static_cast<std::int32_t>(longest),
          .tokens = static_cast<std::int32_t>(most),
          .chunk = 0,
          .shortest_prompt = static_cast<std::int32_t>(shortest)};
}

std::vector<Trace> run(const Drive& drive) {
  const auto ids = drive.ids();
  const Question& question = drive.questions.front();
  const std::size_t prompt = prompt_tokens(drive.experiment, ids.size(), question);
  const std::size_t count =
      std::min(static_cast<std::size_t>(question.answer_tokens), drive.max_steps + 1);
  Trace trace;
  trace.first_tokens = static_cast<std::int32_t>(prompt);
  std::array next{std::int32_t{0}};
  drive.runner.begin();
  trace.steps.push_back(seconds_of([&] {
    next[0] = drive.runner.prefill(ids.first(prompt), kNoTarget).front().best;
    for (std::size_t at = prompt; at < ids.size(); ++at) {
      next[0] = drive.runner.step(ids.subspan(at, 1), kNoTarget).front().best;
    }
  }));
  std::vector<std::int32_t> generated{next[0]};
  while (generated.size() < count) {
    keep_step_reads(drive.runner.cache(), trace);
    trace.steps.push_back(
        seconds_of([&] { next[0] = drive.runner.step(next, kNoTarget).front().best; }));
    generated.push_back(next[0]);
    if (drive.tick) {
      drive.tick(generated.size(), count);
    }
  }
  trace.eval_tokens = static_cast<std::int64_t>(generated.size());
  trace.tokens = static_cast<std::int32_t>(ids.size() + generated.size());
  trace.answer = question.grade(generated);
  keep_cache_figures(drive.runner.cache(), prompt, trace);
  return {std::move(trace)};
}

void summarise_answers(std::span<const Trace> traces, Record& record) {
  std::map<std::string, std::vector<double>> scores;
  for (const Trace& trace : traces) {
    scores[trace.answer->task].push_back(trace.answer->score);
  }
  std::vector<std::vector<double>> groups;
  double sum = 0.0;
  for (const auto& [task, values] : scores) {
    const double score = mean(values);
    sum += score;
    groups.push_back(values);
    if (!record.worst_task_accuracy || score < *record.worst_task_accuracy) {
      record.worst_task = task;
      record.worst_task_accuracy = score;
    }
  }
  record.accuracy = sum / static_cast<double>(groups.size());
  const Interval interval = bootstrap_interval(groups, record.seed);
  record.accuracy_low = interval.low;
  record.accuracy_high = interval.high;
}

void summarise(const Workload& workload, std::span<const Trace> traces, Record& record) {
  summarise_text(workload, traces, record);
  summarise_answers(traces, record);
}

std::int32_t least_tokens(const Experiment& /*experiment*/) {
  return 1;
}

}  // namespace

constinit const Protocol kTask{
    .name = "task",
    .summary = "prefills a prompt with a question, cuts, answers greedily and scores the answer",
    .reads_text = true,
    .feed = kvcompress::Feed::kPrompt,
    .shape = shape,
    .run = run,
    .summarise = summarise,
    .least_tokens = least_tokens,
};

}  // namespace kvg::harness
