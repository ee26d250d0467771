#include "harness/columns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>

namespace kvg::harness {
namespace {

constexpr double kGigabyte = 1024.0 * 1024.0 * 1024.0;

Value real(std::optional<double> value) {
  // JSON has no NaN and no infinity; neither is a measurement.
  if (!value || !std::isfinite(*value)) {
    return {};
  }
  return *value;
}

Value integer(std::optional<std::int64_t> value) {
  return value ? Value(*value) : Value();
}

template <std::optional<double> Record::*Member>
Value real_of(const Record& record) {
  return real(record.*Member);
}

template <std::string Record::*Member>
Value text_of(const Record& record) {
  return record.*Member;
}

template <std::int64_t MemoryFigures::*Member>
Value memory_of(const Record& record) {
  return record.memory ? Value(*record.memory.*Member) : Value();
}

template <std::optional<std::int64_t> MemoryFigures::*Member>
Value known_memory_of(const Record& record) {
  return record.memory ? integer(*record.memory.*Member) : Value();
}

Value peak_gigabytes(const Record& record) {
  if (!record.memory) {
    return {};
  }
  return static_cast<double>(record.memory->pool_used_peak_bytes) / kGigabyte;
}

Value peak_vram(const Record& record) {
  return record.on_cuda ? peak_gigabytes(record) : Value();
}

// One of the settings, which every output has to name beside a perplexity.
Value convention(const Record& record) {
  const auto found = std::ranges::find(record.settings, "convention", &Setting::name);
  const auto* const text =
      found == record.settings.end() ? nullptr : std::get_if<std::string>(&found->value);
  return text == nullptr ? Value() : Value(*text);
}

Value eval_tokens(const Record& record) {
  return record.eval_tokens;
}

Value predicted_peak(const Record& record) {
  return record.predicted_peak_bytes;
}

template <std::optional<std::int64_t> Record::*Member>
Value integer_of(const Record& record) {
  return integer(record.*Member);
}

template <std::optional<bool> Record::*Member>
Value flag_of(const Record& record) {
  return record.*Member ? Value(*(record.*Member)) : Value();
}

template <std::optional<double> kernels::Ceilings::*Member>
Value ceiling_of(const Record& record) {
  return record.calibration ? real(*record.calibration.*Member) : Value();
}

Value throttle_reasons(const Record& record) {
  return record.throttle_reasons.empty() ? Value() : Value(record.throttle_reasons);
}

template <std::string Record::*Member>
Value known_text_of(const Record& record) {
  return (record.*Member).empty() ? Value() : Value(record.*Member);
}

template <auto Member>
Value kept_of(const Record& record) {
  return record.kept_entries ? Value(*record.kept_entries.*Member) : Value();
}

Value batch(const Record& record) {
  return static_cast<std::int64_t>(record.batch);
}

Value seed(const Record& record) {
  return static_cast<std::int64_t>(record.seed);
}

Value status(const Record& record) {
  return std::string(record.status == Status::kOk ? "ok" : "failed");
}

Value error(const Record& record) {
  return record.error.empty() ? Value() : Value(record.error);
}

std::string fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string rate(double value) {
  return value < 1000.0 ? four_digits(value) : fixed(value, 0);
}

std::string share(double value) {
  return fixed(value, 4);
}

std::string entries(double value) {
  return fixed(value, value == std::floor(value) ? 0 : 1);
}

using enum ColumnType;

template <std::string Record::*Member>
constexpr Column text(std::string_view key) {
  return {.key = key, .type = kText, .get = text_of<Member>};
}

template <std::optional<double> Record::*Member>
constexpr Column figure(std::string_view key, std::string_view unit) {
  return {.key = key, .type = kReal, .unit = unit, .get = real_of<Member>};
}

template <std::optional<std::int64_t> Record::*Member>
constexpr Column count(std::string_view key, std::string_view unit) {
  return {.key = key, .type = kInteger, .unit = unit, .get = integer_of<Member>};
}

template <std::optional<bool> Record::*Member>
constexpr Column flag(std::string_view key) {
  return {.key = key, .type = kFlag, .get = flag_of<Member>};
}

template <std::optional<double> kernels::Ceilings::*Member>
constexpr Column ceiling(std::string_view key, std::string_view unit) {
  return {.key = key, .type = kReal, .unit = unit, .get = ceiling_of<Member>};
}

template <std::int64_t MemoryFigures::*Member>
constexpr Column bytes(std::string_view key) {
  return {.key = key, .type = kInteger, .unit = "bytes", .get = memory_of<Member>};
}

constexpr Column shown(Column column,
                       std::string_view heading,
                       std::string (*show)(double),
                       Shown where = Shown::kAlways) {
  column.heading = heading;
  column.show = show;
  column.shown = where;
  return column;
}

constexpr Column lower_wins(Column column) {
  column.better = Better::kLower;
  return column;
}

constexpr Column higher_wins(Column column) {
  column.better = Better::kHigher;
  return column;
}

constexpr std::array kColumns{
    shown(text<&Record::method>("method"), "Method", nullptr),
    text<&Record::policy>("policy"),
    Column{
        .key = "budget_requested", .type = kText, .get = known_text_of<&Record::budget_requested>},
    text<&Record::model>("model"),
    text<&Record::dataset>("dataset"),
    text<&Record::protocol>("protocol"),
    text<&Record::device>("device"),
    Column{.key = "dtype", .type = kText, .get = known_text_of<&Record::dtype>},
    Column{.key = "batch", .type = kInteger, .get = batch},
    shown(Column{.key = "query", .type = kText, .get = known_text_of<&Record::query>},
          "Query",
          nullptr,
          Shown::kOnTasks),
    shown(count<&Record::context>("context", "tokens"), "Context", nullptr, Shown::kOnTasks),
    count<&Record::truncated_samples>("truncated_samples", ""),
    Column{.key = "convention", .type = kText, .get = convention},
    lower_wins(shown(figure<&Record::ttft>("ttft", "s"), "TTFT(s)", four_digits)),
    figure<&Record::ttft_low>("ttft_low", "s"),
    figure<&Record::ttft_high>("ttft_high", "s"),
    lower_wins(shown(figure<&Record::tpot>("tpot", "s"), "TPOT(s)", four_digits)),
    figure<&Record::tpot_low>("tpot_low", "s"),
    figure<&Record::tpot_high>("tpot_high", "s"),
    higher_wins(shown(figure<&Record::throughput>("throughput", "tokens/s"), "Thruput", rate)),
    figure<&Record::prefill_throughput>("prefill_throughput", "tokens/s"),
    figure<&Record::decode_throughput>("decode_throughput", "tokens/s"),
    figure<&Record::itl_p50>("itl_p50", "s"),
    figure<&Record::itl_p90>("itl_p90", "s"),
    figure<&Record::itl_p99>("itl_p99", "s"),
    figure<&Record::total_time>("total_time", "s"),
    lower_wins(shown(figure<&Record::perplexity>("perplexity", ""), "PPL", rate)),
    figure<&Record::perplexity_stderr>("perplexity_stderr", ""),
    figure<&Record::bits_per_byte>("bits_per_byte", "bits"),
    lower_wins(shown(
        figure<&Record::delta_nll>("delta_nll", "nats"), "dNLL", four_digits, Shown::kOnReports)),
    shown(figure<&Record::delta_nll_stderr>("delta_nll_stderr", "nats"),
          "+-",
          four_digits,
          Shown::kOnReports),
    lower_wins(
        shown(figure<&Record::kl_mean>("kl_mean", "nats"), "KL", four_digits, Shown::kOnReports)),
    lower_wins(
        shown(figure<&Record::kl_p99>("kl_p99", "nats"), "KL-p99", four_digits, Shown::kOnReports)),
    higher_wins(shown(
        figure<&Record::top1_agreement>("top1_agreement", ""), "Top1", share, Shown::kOnReports)),
    higher_wins(shown(figure<&Record::accuracy>("accuracy", ""), "Acc", share)),
    figure<&Record::accuracy_low>("accuracy_low", ""),
    figure<&Record::accuracy_high>("accuracy_high", ""),
    figure<&Record::accuracy_norm>("accuracy_norm", ""),
    shown(Column{.key = "worst_task", .type = kText, .get = known_text_of<&Record::worst_task>},
          "Worst",
          nullptr,
          Shown::kOnTasks),
    higher_wins(shown(figure<&Record::worst_task_accuracy>("worst_task_accuracy", ""),
                      "WorstAcc",
                      share,
                      Shown::kOnTasks)),
    Column{.key = "eval_tokens", .type = kInteger, .get = eval_tokens},
    lower_wins(shown({.key = "peak_vram_gb", .type = kReal, .unit = "GB", .get = peak_vram},
                     "VRAM(GB)",
                     four_digits,
                     Shown::kOnCuda)),
    lower_wins(shown({.key = "peak_memory_gb", .type = kReal, .unit = "GB", .get = peak_gigabytes},
                     "Mem(GB)",
                     four_digits,
                     Shown::kOnCpu)),
    lower_wins(
        shown(figure<&Record::final_cache_size>("final_cache_size", "entries"), "Cache", entries)),
    Column{.key = "kept_entries.mean",
           .type = kReal,
           .unit = "entries",
           .get = kept_of<&kvcompress::KeptEntries::mean>},
    Column{.key = "kept_entries.min",
           .type = kInteger,
           .unit = "entries",
           .get = kept_of<&kvcompress::KeptEntries::min>},
    Column{.key = "kept_entries.max",
           .type = kInteger,
           .unit = "entries",
           .get = kept_of<&kvcompress::KeptEntries::max>},
    figure<&Record::kept_fraction>("kept_fraction", ""),
    figure<&Record::bits_per_element>("bits_per_element", "bits"),
    bytes<&MemoryFigures::kv_bytes>("kv_bytes"),
    count<&Record::kv_bytes_read_per_step>("kv_bytes_read_per_step", "bytes"),
    bytes<&MemoryFigures::weights_bytes>("memory.weights_bytes"),
    bytes<&MemoryFigures::kv_bytes>("memory.kv_bytes"),
    bytes<&MemoryFigures::activations_bytes>("memory.activations_bytes"),
    bytes<&MemoryFigures::workspace_bytes>("memory.workspace_bytes"),
    bytes<&MemoryFigures::observations_bytes>("memory.observations_bytes"),
    bytes<&MemoryFigures::pool_used_peak_bytes>("memory.pool_used_peak_bytes"),
    bytes<&MemoryFigures::pool_reserved_peak_bytes>("memory.pool_reserved_peak_bytes"),
    Column{.key = "memory.process_bytes",
           .type = kInteger,
           .unit = "bytes",
           .get = known_memory_of<&MemoryFigures::process_bytes>},
    Column{.key = "memory.unaccounted_bytes",
           .type = kInteger,
           .unit = "bytes",
           .get = known_memory_of<&MemoryFigures::unaccounted_bytes>},
    Column{.key = "memory.predicted_peak_bytes",
           .type = kInteger,
           .unit = "bytes",
           .get = predicted_peak},
    count<&Record::sm_clock_mhz>("sm_clock_mhz", "MHz"),
    count<&Record::sm_clock_before_mhz>("sm_clock_before_mhz", "MHz"),
    ceiling<&kernels::Ceilings::read_gbps>("calibration.read_gbps", "1e9 bytes/s"),
    ceiling<&kernels::Ceilings::copy_gbps>("calibration.copy_gbps", "1e9 bytes/s"),
    ceiling<&kernels::Ceilings::gemm_tflops>("calibration.gemm_tflops", "1e12 operations/s"),
    ceiling<&kernels::Ceilings::kernel_us>("calibration.kernel_us", "us"),
    ceiling<&kernels::Ceilings::h2d_gbps>("calibration.h2d_gbps", "1e9 bytes/s"),
    count<&Record::bytes_per_step>("bytes_per_step", "bytes"),
    figure<&Record::flops_prefill>("flops_prefill", "operations"),
    figure<&Record::bound_tpot>("bound_tpot", "s"),
    figure<&Record::bound_ttft>("bound_ttft", "s"),
    shown(figure<&Record::fraction_of_bound_tpot>("fraction_of_bound_tpot", ""), "OfBound", share),
    figure<&Record::fraction_of_bound_ttft>("fraction_of_bound_ttft", ""),
    figure<&Record::compression_speedup_bound>("compression_speedup_bound", ""),
    figure<&Record::spread>("spread", ""),
    flag<&Record::noisy>("noisy"),
    flag<&Record::throttled>("throttled"),
    Column{.key = "throttle_reasons", .type = kText, .get = throttle_reasons},
    flag<&Record::launch_bound>("launch_bound"),
    Column{.key = "status", .type = kText, .get = status},
    Column{.key = "error", .type = kText, .get = error},
    Column{.key = "seed", .type = kInteger, .get = seed},
    Column{.key = "weights_sha256", .type = kText, .get = known_text_of<&Record::weights_sha256>},
    Column{.key = "dataset_sha256", .type = kText, .get = known_text_of<&Record::dataset_sha256>},
};

constexpr std::array kSampleColumns{
    SampleColumn{"tokens", "", [](const Sample& s) { return Value(std::int64_t{s.tokens}); }},
    SampleColumn{"eval_tokens", "", [](const Sample& s) { return Value(s.eval_tokens); }},
    SampleColumn{"nll_sum", "", [](const Sample& s) { return real(s.nll_sum); }},
    SampleColumn{"correct", "", [](const Sample& s) { return integer(s.correct); }},
    SampleColumn{"ttft", "s", [](const Sample& s) { return real(s.ttft); }},
    SampleColumn{"tpot", "s", [](const Sample& s) { return real(s.tpot); }},
    SampleColumn{"total_time", "s", [](const Sample& s) { return real(s.total_time); }},
    SampleColumn{
        "final_cache_size", "entries", [](const Sample& s) { return real(s.final_cache_size); }},
    SampleColumn{"peak_bytes", "bytes", [](const Sample& s) { return Value(s.peak_bytes); }},
};

}  // namespace

std::span<const Column> columns() {
  return kColumns;
}

std::span<const SampleColumn> sample_columns() {
  return kSampleColumns;
}

std::string shown_text(const Column& column, const Value& value) {
  if (const auto* const text = std::get_if<std::string>(&value)) {
    return *text;
  }
  if (const auto* const number = std::get_if<double>(&value)) {
    return column.show(*number);
  }
  if (const auto* const count = std::get_if<std::int64_t>(&value)) {
    return std::to_string(*count);
  }
  return "-";
}

std::string four_digits(double value) {
  std::array<char, 64> text{};
  // '#' keeps trailing zeros; it also leaves a bare point behind numbers of four digits.
  std::snprintf(text.data(), text.size(), "%#.4g", value);
  std::string shown = text.data();
  if (shown.ends_with('.')) {
    shown.pop_back();
  }
  return shown;
}

std::string gigabytes(double bytes) {
  return rate(bytes / kGigabyte) + " GB";
}

}  // namespace kvg::harness
