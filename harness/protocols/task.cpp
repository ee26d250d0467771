// Prefills a prompt, cuts the cache and answers greedily. With --query aware the question is part
// of what is prefilled, so the cut has seen it; with agnostic the text before it is prefilled and
// cut alone, and the question is fed step by step through the cut cache. A question with
// continuations is not answered: each of them is fed after the prompt, token by token through the
// cut cache, and its likelihood taken.

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

// The most that is fed and yielded after a prompt.
std::size_t answer_tokens(const Question& question) {
  std::size_t most = static_cast<std::size_t>(question.answer_tokens);
  for (const std::vector<std::int32_t>& continuation : question.continuations) {
    most = std::max(most, continuation.size());
  }
  return most;
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
    // The last token generated or foreseen is fed to nobody.
    most = std::max(most, tokens + answer_tokens(question) - 1);
  }
  return {.batch = 1,
          .prompt = static_cast<std::int32_t>(longest),
          .tokens = static_cast<std::int32_t>(most),
          .chunk = 0,
          .shortest_prompt = static_cast<std::int32_t>(shortest)};
}

// What a feed of the whole prompt tells of the token after it.
model::TokenScore feed_prompt(const Drive& drive, std::int32_t target) {
  const auto ids = drive.ids();
  const std::size_t prompt = prompt_tokens(drive.experiment, ids.size(), drive.questions.front());
  const auto target_at = [&](std::size_t fed) {
    return std::array{fed == ids.size() ? target : model::kNoTarget};
  };
  drive.runner.begin();
  model::TokenScore score = drive.runner.prefill(ids.first(prompt), target_at(prompt)).front();
  for (std::size_t at = prompt; at < ids.size(); ++at) {
    score = drive.runner.step(ids.subspan(at, 1), target_at(at + 1)).front();
  }
  return score;
}

// Answers greedily, until a stop or the answer's full length.
void generate(const Drive& drive, Trace& trace) {
  const Question& question = drive.questions.front();
  const std::size_t count =
      std::min(static_cast<std::size_t>(question.answer_tokens), drive.max_steps + 1);
  const auto stops = [&question](std::int32_t id) {
    return std::ranges::find(question.stops, id) != question.stops.end();
  };
  std::array next{std::int32_t{0}};
  trace.steps.push_back(seconds_of([&] { next[0] = feed_prompt(drive, model::kNoTarget).best; }));
  std::vector<std::int32_t> answer;
  for (trace.eval_tokens = 1; !stops(next[0]); ++trace.eval_tokens) {
    answer.push_back(next[0]);
    if (answer.size() == count) {
      break;
    }
    keep_step_reads(drive.runner.cache(), trace);
    trace.steps.push_back(
        seconds_of([&] { next[0] = drive.runner.step(next, kNoTarget).front().best; }));
    if (drive.tick) {
      drive.tick(answer.size() + 1, count);
    }
  }
  trace.answer = question.grade(answer);
}

// Adds one token of a continuation, as it was foreseen.
void keep_token(const model::TokenScore& score, std::int32_t token, Foreseen& foreseen) {
  expect_finite(score, 1);
  foreseen.log_likelihood -= static_cast<double>(score.nll);
  foreseen.greedy = foreseen.greedy && score.best == token;
}

// Feeds the prompt anew for every continuation, since the cache cannot forget one; all but the
// first prompt count as time of the sample alone.
void foresee(const Drive& drive, Trace& trace) {
  const Question& question = drive.questions.front();
  std::vector<Foreseen> all;
  for (const std::vector<std::int32_t>& continuation : question.continuations) {
    Foreseen& foreseen = all.emplace_back();
    model::TokenScore score;
    const double seconds = seconds_of([&] { score = feed_prompt(drive, continuation.front()); });
    if (all.size() == 1) {
      trace.steps.push_back(seconds);
    } else {
      trace.share_seconds += seconds;
    }
    keep_token(score, continuation.front(), foreseen);
    for (std::size_t at = 1; at < continuation.size() && trace.steps.size() <= drive.max_steps;
         ++at) {
      const std::array fed{continuation[at - 1]};
      const std::array target{continuation[at]};
      keep_step_reads(drive.runner.cache(), trace);
      trace.steps.push_back(seconds_of([&] { score = drive.runner.step(fed, target).front(); }));
      keep_token(score, target.front(), foreseen);
    }
    trace.eval_tokens += static_cast<std::int64_t>(continuation.size());
    if (drive.tick) {
      drive.tick(all.size(), question.continuations.size());
    }
  }
  trace.answer = question.judge(all);
}

std::vector<Trace> run(const Drive& drive) {
  const Question& question = drive.questions.front();
  Trace trace;
  const std::size_t prompt = prompt_tokens(drive.experiment, drive.ids().size(), question);
  trace.first_tokens = static_cast<std::int32_t>(prompt);
  if (question.continuations.empty()) {
    generate(drive, trace);
  } else {
    foresee(drive, trace);
  }
  trace.tokens =
      static_cast<std::int32_t>(drive.ids().size()) + static_cast<std::int32_t>(trace.eval_tokens);
  keep_cache_figures(drive.runner.cache(), prompt, trace);
  return {std::move(trace)};
}

// The mean over tasks of their mean scores by characters, where every sample has one.
std::optional<double> normalised_accuracy(std::span<const Trace> traces) {
  std::map<std::string, std::vector<double>> scores;
  for (const Trace& trace : traces) {
    if (!trace.answer->score_norm) {
      return {};
    }
    scores[trace.answer->task].push_back(*trace.answer->score_norm);
  }
  double sum = 0.0;
  for (const auto& [task, values] : scores) {
    sum += mean(values);
  }
  return sum / static_cast<double>(scores.size());
}

void summarise_answers(std::span<const Trace> traces, Record& record) {
  std::map<std::string, std::vector<double>> scores;
  record.truncated_samples = 0;
  for (const Trace& trace : traces) {
    scores[trace.answer->task].push_back(trace.answer->score);
    *record.truncated_samples += trace.answer->removed_tokens > 0 ? 1 : 0;
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
  record.accuracy_norm = normalised_accuracy(traces);
  // One answer drawn again and again would come out as an interval without width.
  if (std::ranges::all_of(groups, [](const auto& answers) { return answers.size() > 1; })) {
    const Interval interval = bootstrap_interval(groups, record.seed);
    record.accuracy_low = interval.low;
    record.accuracy_high = interval.high;
  }
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
