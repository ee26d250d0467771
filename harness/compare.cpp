#include "harness/compare.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "harness/compare_row.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

// A change as large as its limit holds, whatever the last bits of a quotient are.
constexpr double kRounding = 1e-9;
// Of a normal distribution, 95 % lie within so many standard errors.
constexpr double kErrors = 1.96;

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

// How much a difference of two independent figures varies.
std::optional<double> noise_of(std::optional<double> before, std::optional<double> after) {
  if (!before || !after) {
    return {};
  }
  return kErrors * std::hypot(*before, *after);
}

std::optional<double> accuracy_error(const RecordedRow& row) {
  if (row.accuracy_low && row.accuracy_high) {
    return (*row.accuracy_high - *row.accuracy_low) / (2.0 * kErrors);
  }
  // What a task generates is no number of answers.
  if (!row.accuracy || row.protocol == "task" || !row.eval_tokens || *row.eval_tokens < 1.0) {
    return {};
  }
  return std::sqrt(*row.accuracy * (1.0 - *row.accuracy) / *row.eval_tokens);
}

// How far one run's time per token lies from what another like it would measure: between its
// samples, or where there was one alone, from the middle step to a usual slow one.
std::optional<double> time_spread(const RecordedRow& row) {
  if (row.spread && row.tpot) {
    return *row.spread * *row.tpot;
  }
  if (row.itl_p50 && row.itl_p90) {
    return *row.itl_p90 - *row.itl_p50;
  }
  return {};
}

// A figure of both rows with all but its limit judged.
ComparedFigure figure_of(std::string_view key,
                         std::optional<double> before,
                         std::optional<double> after,
                         std::optional<double> noise) {
  ComparedFigure figure{.key = key,
                        .before = before,
                        .after = after,
                        .change = {},
                        .limit = 0.0,
                        .noise = noise,
                        .beyond_noise = {},
                        .verdict = Verdict::kUnjudged};
  if (before && !after) {
    figure.verdict = Verdict::kRegressed;
  }
  if (before && after && noise) {
    figure.beyond_noise = std::abs(*after - *before) > *noise;
  }
  return figure;
}

// A limit on growth. Without growth to speak of a quotient of two zeros would be none.
void judge_growth(double limit, ComparedFigure& figure) {
  figure.limit = limit;
  if (!figure.before || !figure.after) {
    return;
  }
  const double growth = *figure.after - *figure.before;
  if (*figure.before > 0.0) {
    figure.change = growth / *figure.before;
  } else if (growth == 0.0) {
    figure.change = 0.0;
  }
  const double allowed = (limit + std::abs(limit) * kRounding) * *figure.before;
  figure.verdict = growth > allowed ? Verdict::kRegressed : Verdict::kHolds;
}

void judge_loss(double limit, ComparedFigure& figure) {
  figure.limit = limit;
  if (!figure.before || !figure.after) {
    return;
  }
  figure.change = *figure.after - *figure.before;
  const double allowed = limit - std::abs(limit) * kRounding;
  figure.verdict = *figure.change < allowed ? Verdict::kRegressed : Verdict::kHolds;
}

std::vector<ComparedFigure> compare_figures(const RecordedRow& before,
                                            const RecordedRow& after,
                                            const CompareLimits& limits) {
  ComparedFigure perplexity =
      figure_of("perplexity",
                before.perplexity,
                after.perplexity,
                noise_of(before.perplexity_stderr, after.perplexity_stderr));
  judge_growth(limits.perplexity, perplexity);
  ComparedFigure accuracy = figure_of("accuracy",
                                      before.accuracy,
                                      after.accuracy,
                                      noise_of(accuracy_error(before), accuracy_error(after)));
  judge_loss(limits.accuracy, accuracy);
  // The same run holds the same bytes.
  ComparedFigure memory = figure_of(before.memory_key, before.memory, after.memory, 0.0);
  judge_growth(limits.memory, memory);
  // An empty optional is less than any value.
  const auto spread = std::max(time_spread(before), time_spread(after));
  ComparedFigure tpot = figure_of("tpot", before.tpot, after.tpot, spread);
  judge_growth(limits.tpot, tpot);
  if (tpot.change && tpot.verdict == Verdict::kRegressed && tpot.beyond_noise == false) {
    tpot.verdict = Verdict::kExcused;
  }
  std::vector<ComparedFigure> figures;
  for (ComparedFigure* const figure : {&perplexity, &accuracy, &memory, &tpot}) {
    if (figure->before || figure->after) {
      figures.push_back(*figure);
    }
  }
  return figures;
}

ComparedRow named_row(const RecordedRow& row) {
  ComparedRow result;
  result.model = row.model;
  result.dataset = row.dataset;
  result.protocol = row.protocol;
  result.policy = row.policy;
  result.device_kind = row.device_kind;
  result.method = row.method;
  return result;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string line;
  for (const std::string& part : parts) {
    line += (line.empty() ? "" : ", ") + part;
  }
  return line;
}

void note_differences(const RecordedRow& before, const RecordedRow& after, ComparedRow& row) {
  if (const auto changed = changed_settings(before, after); !changed.empty()) {
    row.notes.push_back("its settings changed: " + joined(changed));
  }
  if (!before.weights.empty() && !after.weights.empty() && before.weights != after.weights) {
    row.notes.push_back("it comes from other weights: " + before.weights + " -> " + after.weights);
  }
  constexpr const char* kZero =
      " has peak_vram_gb 0 on cuda, the VRAM-zero bug: its peak was never measured";
  if (before.zero_vram) {
    row.notes.push_back(std::string("the old row") + kZero);
  }
  if (after.zero_vram) {
    row.notes.push_back(std::string("the new row") + kZero);
    row.regressed = true;
  }
}

ComparedRow compare_pair(const RecordedRow& before,
                         const RecordedRow& after,
                         const CompareLimits& limits) {
  ComparedRow row = named_row(before);
  if (before.failed) {
    row.notes.push_back("it failed in the old run, which leaves nothing to hold to");
  }
  if (after.failed) {
    row.notes.push_back("it failed in the new run: " + after.error);
    row.regressed = row.regressed || !before.failed;
  }
  if (before.failed || after.failed) {
    return row;
  }
  note_differences(before, after, row);
  row.figures = compare_figures(before, after, limits);
  for (const ComparedFigure& figure : row.figures) {
    row.regressed = row.regressed || figure.verdict == Verdict::kRegressed;
    if (figure.before && !figure.after) {
      row.notes.push_back(std::string(figure.key) + " is gone");
    }
  }
  return row;
}

// For every old row its new one or kNone: one of the same settings, else any of the same key.
std::vector<std::size_t> pair_rows(const std::vector<RecordedRow>& before,
                                   const std::vector<RecordedRow>& after) {
  std::unordered_map<std::string, std::vector<std::size_t>> waiting;
  for (std::size_t i = 0; i < after.size(); ++i) {
    waiting[after[i].key()].push_back(i);
  }
  std::vector<std::size_t> pairs(before.size(), kNone);
  for (const bool same_settings : {true, false}) {
    for (std::size_t i = 0; i < before.size(); ++i) {
      const auto group = waiting.find(before[i].key());
      if (pairs[i] != kNone || group == waiting.end()) {
        continue;
      }
      const auto found = std::ranges::find_if(group->second, [&](std::size_t candidate) {
        return !same_settings || changed_settings(before[i], after[candidate]).empty();
      });
      if (found != group->second.end()) {
        pairs[i] = *found;
        group->second.erase(found);
      }
    }
  }
  return pairs;
}

void keep_only(const std::vector<std::string>& only, std::vector<RecordedRow>& rows) {
  std::erase_if(rows, [&only](const RecordedRow& row) {
    return std::ranges::none_of(only, [&row](const std::string& wanted) {
      return wanted == row.method || wanted == row.policy;
    });
  });
}

void expect_rows(const std::vector<RecordedRow>& rows,
                 const std::vector<std::string>& known,
                 const NamedRun& before,
                 const std::vector<std::string>& only) {
  if (rows.empty() && !only.empty()) {
    throw InvalidArgument("run file " + before.name + " has no row of " + joined(only) +
                          "; known: " + joined(known));
  }
  if (std::ranges::all_of(rows, &RecordedRow::failed)) {
    throw InvalidArgument("run file " + before.name + " has no measured row to hold to");
  }
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  constexpr std::array<std::string_view, 4> kNames{"holds", "excused", "regressed", "unjudged"};
  return kNames[static_cast<std::size_t>(verdict)];
}

Comparison compare(const NamedRun& before,
                   const NamedRun& after,
                   const CompareLimits& limits,
                   const std::vector<std::string>& only) {
  std::vector<RecordedRow> old_rows = read_rows(before.run, before.name);
  std::vector<RecordedRow> new_rows = read_rows(after.run, after.name);
  std::vector<std::string> known;
  std::ranges::transform(old_rows, std::back_inserter(known), &RecordedRow::method);
  if (!only.empty()) {
    keep_only(only, old_rows);
    keep_only(only, new_rows);
  }
  expect_rows(old_rows, known, before, only);
  const std::vector<std::size_t> pairs = pair_rows(old_rows, new_rows);
  Comparison result;
  std::vector<bool> paired(new_rows.size(), false);
  for (std::size_t i = 0; i < old_rows.size(); ++i) {
    if (pairs[i] == kNone) {
      result.rows.push_back(named_row(old_rows[i]));
      result.rows.back().notes.emplace_back("it vanished: the new run has no such row");
      result.rows.back().regressed = true;
      continue;
    }
    paired[pairs[i]] = true;
    result.rows.push_back(compare_pair(old_rows[i], new_rows[pairs[i]], limits));
  }
  for (std::size_t i = 0; i < new_rows.size(); ++i) {
    if (!paired[i]) {
      result.rows.push_back(named_row(new_rows[i]));
      result.rows.back().notes.emplace_back("it is new: the old run has no such row");
    }
  }
  result.regressed = std::ranges::any_of(result.rows, &ComparedRow::regressed);
  return result;
}

double parse_limit(std::string_view flag, std::string_view text, std::string_view unit) {
  const std::string bad = std::string(flag) + " \"" + std::string(text) +
                          "\" is not understood; allowed: a number with " + std::string(unit) +
                          ", such as " + (unit == "%" ? "+0.5%" : "-1pt");
  std::string_view digits = text;
  if (!digits.ends_with(unit)) {
    throw InvalidArgument(bad);
  }
  digits.remove_suffix(unit.size());
  if (digits.starts_with('+')) {
    digits.remove_prefix(1);
  }
  double value = 0.0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc{} || rest != end || !std::isfinite(value)) {
    throw InvalidArgument(bad);
  }
  return value / 100.0;
}

}  // namespace kvg::harness
