#include "harness/paired.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "harness/columns.h"
#include "harness/statistics.h"
#include "kernels/core/error.h"

namespace kvg::harness {
namespace {

// Samples stepped through together at least, where they fit: more steps at once read the weights
// less often, and beyond so many attention is what takes the time.
constexpr std::int32_t kRows = 8;

model::RunShape paired_shape(const PairedRow& row, const PairedPlace& place) {
  model::RunShape shape = row.shape;
  shape.texts = shape.prompt == 0 &&
                kvcompress::fixed_visibility(
                    row.policy, place.config.heads.head_dim, place.backend.compute_dtype())
                    .has_value();
  shape.batch = std::min(std::max(kRows, shape.batch),
                         static_cast<std::int32_t>(row.workload.samples.size()));
  shape.batch = model::Runner::useful_batch(place.config, place.backend, row.policy, shape);
  return shape;
}

// Both runners, and the weights once.
std::size_t needed_bytes(const PairedRow& row,
                         const PairedPlace& place,
                         const model::RunShape& shape) {
  const auto plan = [&](const kvcompress::Policy& policy) {
    return model::Runner::plan(place.config, place.backend, policy, shape);
  };
  const model::MemoryPlan baseline = plan(row.baseline);
  return plan(row.policy).total() + baseline.total() - baseline.weights;
}

// As many rows as are of use and fit.
model::RunShape fitting_shape(const PairedRow& row, const PairedPlace& place) {
  model::RunShape shape = paired_shape(row, place);
  while (shape.batch > 1 && needed_bytes(row, place, shape) > place.most_bytes) {
    shape.batch = (shape.batch + 1) / 2;
  }
  const std::size_t needed = needed_bytes(row, place, shape);
  if (needed > place.most_bytes) {
    throw OutOfMemory("it and the baseline need " + gigabytes(static_cast<double>(needed)) +
                      " side by side, above the " +
                      gigabytes(static_cast<double>(place.most_bytes)) + " that a run may hold");
  }
  return shape;
}

// Tokens of a sample that are fed as its prompt.
std::size_t prompt_of(const model::RunShape& shape, const Trace& trace) {
  return shape.prompt > 0 ? static_cast<std::size_t>(trace.first_tokens) : 0;
}

}  // namespace

void keep_deltas(std::span<const Trace> baseline, std::span<const Trace> traces, Record& record) {
  KVG_EXPECT(baseline.size() == traces.size(), "both rows have the same samples");
  std::vector<double> deltas;
  std::int64_t agreeing = 0;
  for (std::size_t sample = 0; sample < traces.size(); ++sample) {
    const Trace& own = traces[sample];
    const Trace& other = baseline[sample];
    KVG_EXPECT(own.nll.size() == other.nll.size(), "both rows score the same tokens");
    for (std::size_t i = 0; i < own.nll.size(); ++i) {
      deltas.push_back(own.nll[i] - other.nll[i]);
      agreeing += own.best[i] == other.best[i] ? 1 : 0;
    }
  }
  const auto count = static_cast<double>(deltas.size());
  record.delta_nll = mean(deltas);
  record.delta_nll_stderr = sample_deviation(deltas) / std::sqrt(count);
  record.top1_agreement = static_cast<double>(agreeing) / count;
}

void keep_divergences(std::span<const double> divergences, Record& record) {
  record.kl_mean = mean(divergences);
  record.kl_p99 = quantile(divergences, 0.99);
}

std::vector<double> divergences_of(const PairedRow& row,
                                   const PairedPlace& place,
                                   std::span<const Trace> traces,
                                   const Tick& tick) {
  const model::RunShape shape = fitting_shape(row, place);
  const model::Model model = {place.config, place.weights};
  model::Runner baseline(model, place.backend, row.baseline, shape);
  model::Runner policy(model, place.backend, row.policy, shape);
  const std::span samples(row.workload.samples);
  std::vector<double> all;
  for (std::size_t first = 0; first < samples.size();) {
    const std::size_t prompt = prompt_of(shape, traces[first]);
    std::size_t count = 1;
    while (first + count < samples.size() && count < static_cast<std::size_t>(shape.batch) &&
           prompt_of(shape, traces[first + count]) == prompt) {
      ++count;
    }
    const auto part = policy.divergences(baseline, samples.subspan(first, count), prompt, tick);
    for (std::size_t i = 0; i < count; ++i) {
      // Scored are the last tokens of a sample.
      const auto scored = static_cast<std::ptrdiff_t>(traces[first + i].nll.size());
      all.insert(all.end(), part[i].end() - scored, part[i].end());
    }
    first += count;
  }
  if (!std::ranges::all_of(all, [](double kl) { return std::isfinite(kl); })) {
    throw Error("a divergence from the baseline is not a finite number");
  }
  return all;
}

}  // namespace kvg::harness
