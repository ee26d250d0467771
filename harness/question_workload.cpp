#include "harness/question_workload.h"

#include <algorithm>
#include <limits>

#include "datasets/choice.h"
#include "datasets/question_file.h"
#include "harness/prompt_ids.h"
#include "kernels/core/error.h"
#include "kernels/core/sha256.h"
#include "model/stop_tokens.h"

namespace kvg::harness {
namespace {

using Ids = std::vector<std::int32_t>;
using datasets::FileQuestion;
using datasets::Judge;

// One question in ids, before its prompt is cut to a context.
struct Encoded {
  Ids prompt;
  Question question;
};

std::string first_line(const std::string& text) {
  const std::size_t begin = std::min(text.find_first_not_of('\n'), text.size());
  return text.substr(begin, text.find('\n', begin) - begin);
}

Answer blank_answer(const FileQuestion& asked, std::string metric) {
  Answer blank;
  blank.task = asked.task;
  blank.prompt_sha256 = sha256_hex(asked.prompt.context + asked.prompt.question);
  blank.metric = std::move(metric);
  return blank;
}

void ask_for_text(const FileQuestion& asked, const Asked& whom, Question& question) {
  question.answer_tokens = asked.answer_tokens;
  question.grade = [blank = blank_answer(asked, std::string(asked.metric->name)),
                    metric = asked.metric,
                    key = asked.key,
                    first = asked.first_line,
                    tokenizer = whom.tokenizer](const Ids& generated) {
    Answer answer = blank;
    answer.text = tokenizer->decode(generated);
    answer.score = metric->score(first ? first_line(answer.text) : answer.text, key);
    return answer;
  };
}

Answer judge_choices(Answer answer,
                     const FileQuestion& asked,
                     const std::vector<Foreseen>& continuations) {
  for (const Foreseen& foreseen : continuations) {
    answer.log_likelihoods.push_back(foreseen.log_likelihood);
  }
  const datasets::Chosen chosen = datasets::choose(answer.log_likelihoods, asked.choices);
  answer.text = asked.choices[chosen.by_sum];
  if (asked.judge == Judge::kExactWords) {
    answer.score = continuations.front().greedy ? 1.0 : 0.0;
  } else {
    answer.score = chosen.by_sum == asked.right ? 1.0 : 0.0;
    answer.score_norm = chosen.by_mean == asked.right ? 1.0 : 0.0;
  }
  return answer;
}

// The prompt ends where the ids of the choices part from those of the prompt alone.
void ask_for_choices(const FileQuestion& asked, const Asked& whom, Encoded& encoded) {
  const std::string prompt = asked.prompt.context + asked.prompt.question;
  std::size_t shared = encoded.prompt.size();
  std::vector<Ids> all;
  for (const std::string& choice : asked.choices) {
    const Ids& ids = all.emplace_back(encode_prompt(*whom.tokenizer, prompt + choice));
    shared = std::min(shared, shared_tokens(encoded.prompt, ids));
  }
  encoded.prompt.resize(shared);
  for (const Ids& ids : all) {
    encoded.question.continuations.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(shared),
                                                ids.end());
    if (shared == 0 || ids.size() == shared) {
      throw DataError("a choice of task " + asked.task + " or its prompt has no token of its own");
    }
  }
  const std::string metric = asked.judge == Judge::kChoice ? "log_likelihood" : "exact_words";
  encoded.question.judge = [blank = blank_answer(asked, metric),
                            asked](const std::vector<Foreseen>& continuations) {
    return judge_choices(blank, asked, continuations);
  };
}

Encoded encode(const FileQuestion& asked, const Asked& whom) {
  Encoded encoded;
  encoded.prompt = encode_prompt(*whom.tokenizer, asked.prompt.context + asked.prompt.question);
  if (encoded.prompt.empty()) {
    throw DataError("a prompt of task " + asked.task + " has no token");
  }
  if (asked.judge == Judge::kMetric) {
    ask_for_text(asked, whom, encoded.question);
  } else {
    ask_for_choices(asked, whom, encoded);
  }
  encoded.question.context_tokens = std::max<std::size_t>(
      shared_tokens(encoded.prompt, encode_prompt(*whom.tokenizer, asked.prompt.context)), 1);
  return encoded;
}

// Leaves out the middle of a prompt of more than `most` tokens, as LongBench does.
void cut_middle(std::size_t most, Encoded& encoded) {
  if (encoded.prompt.size() <= most) {
    return;
  }
  const std::size_t removed = encoded.prompt.size() - most;
  const std::size_t head = most - most / 2;
  const auto first = encoded.prompt.begin() + static_cast<std::ptrdiff_t>(head);
  encoded.prompt.erase(first, first + static_cast<std::ptrdiff_t>(removed));
  std::size_t& context = encoded.question.context_tokens;
  if (context > head) {
    context = std::max(head, context - std::min(context, removed));
  }
  const auto note = [removed](const auto& judge) {
    return [judge, removed](const auto& given) {
      Answer answer = judge(given);
      answer.removed_tokens = static_cast<std::int32_t>(removed);
      return answer;
    };
  };
  if (encoded.question.grade) {
    encoded.question.grade = note(encoded.question.grade);
  } else {
    encoded.question.judge = note(encoded.question.judge);
  }
}

std::size_t longest_answer(const std::vector<Encoded>& questions) {
  std::size_t longest = 0;
  for (const Encoded& encoded : questions) {
    longest = std::max(longest, static_cast<std::size_t>(encoded.question.answer_tokens));
    for (const Ids& continuation : encoded.question.continuations) {
      longest = std::max(longest, continuation.size());
    }
  }
  return longest;
}

std::vector<std::int32_t> contexts_of(const std::string& file,
                                      const Experiment& experiment,
                                      const model::Config& config,
                                      std::size_t answer) {
  if (!experiment.contexts.empty()) {
    return experiment.contexts;
  }
  const std::int64_t room = config.max_positions - static_cast<std::int64_t>(answer);
  if (room < 1) {
    throw InvalidArgument("dataset " + file + ": answers of " + std::to_string(answer) +
                          " tokens leave no room in the " + std::to_string(config.max_positions) +
                          " positions of model " + config.name + "; give a --context");
  }
  return {static_cast<std::int32_t>(room)};
}

// What the file decides in place of flags.
std::vector<Setting> settings_of_file(const Experiment& experiment) {
  std::vector<Setting> settings{{.name = "depth", .value = {}}};
  if (!experiment.num_samples) {
    settings.push_back({.name = "num_samples", .value = std::string("all")});
  }
  return settings;
}

void warn_of_cuts(const Workload& workload, std::size_t cut, const Warn& warn) {
  if (cut > 0) {
    warn("dataset " + workload.dataset + ": " + std::to_string(cut) + " of " +
         std::to_string(workload.samples.size()) + " prompts are longer than " +
         std::to_string(*workload.context) + " tokens; their middles are left out");
  }
}

}  // namespace

std::vector<Workload> make_question_workloads(const std::string& file,
                                              const Experiment& experiment,
                                              const Asked& asked) {
  const datasets::QuestionFile read = datasets::load_questions(
      file,
      experiment.num_samples ? static_cast<std::size_t>(*experiment.num_samples)
                             : std::numeric_limits<std::size_t>::max());
  const std::vector<std::int32_t> stops =
      model::stop_tokens(asked.source.folder, asked.source.config.vocab);
  std::vector<Encoded> questions;
  for (const FileQuestion& question : read.questions) {
    questions.push_back(encode(question, asked));
    questions.back().question.stops = stops;
  }
  std::vector<Workload> workloads;
  for (const std::int32_t context :
       contexts_of(file, experiment, asked.source.config, longest_answer(questions))) {
    Workload& workload = workloads.emplace_back();
    workload.dataset = file;
    workload.sha256 = read.sha256;
    workload.scored = false;
    workload.context = context;
    workload.settings = settings_of_file(experiment);
    std::size_t cut = 0;
    for (Encoded encoded : questions) {
      cut += static_cast<std::size_t>(encoded.prompt.size() > static_cast<std::size_t>(context));
      cut_middle(static_cast<std::size_t>(context), encoded);
      workload.samples.push_back(std::move(encoded.prompt));
      workload.questions.push_back(std::move(encoded.question));
    }
    warn_of_cuts(workload, cut, asked.warn);
  }
  return workloads;
}

}  // namespace kvg::harness
