#include "harness/refused_cells.h"

#include "harness/plain_text.h"
#include "harness/wanted_policies.h"
#include "harness/workload.h"
#include "kernels/device.h"

namespace kvg::harness {
namespace {

Record blank_record(const Experiment& experiment, const kernels::DeviceInfo& device) {
  Record record = record_of(experiment, device);
  record.model = experiment.model;
  record.dtype = experiment.dtype == "auto" ? std::string() : experiment.dtype;
  record.settings = settings_of(experiment);
  record.status = Status::kFailed;
  return record;
}

}  // namespace

std::vector<RefusedTable> refused_cells(const Experiment& experiment,
                                        const std::string& reason,
                                        Listener& listener) {
  const kernels::DeviceInfo device = kernels::find_device(experiment.device);
  const std::vector<WantedPolicy> policies = parse_policies(
      experiment.policies,
      find_protocol(experiment.protocol).feed,
      [&listener](const std::string& why) { listener.warn("left out: " + why); },
      Unplanned::kFailsRow);
  std::vector<RefusedTable> tables;
  for (const Workload& workload : refused_workloads(experiment, reason)) {
    Record record = blank_record(experiment, device);
    record.dataset = workload.dataset;
    record.context = workload.context;
    record.error = one_line(reason);
    RefusedTable& refused = tables.emplace_back();
    refused.table = {.model = record.model,
                     .dataset = record.dataset,
                     .protocol = record.protocol,
                     .device = record.device,
                     .on_cuda = record.on_cuda,
                     .asks = record.context.has_value(),
                     .variant = experiment.variant,
                     .methods = {}};
    for (const WantedPolicy& wanted : policies) {
      record.method = wanted.policy.method;
      record.policy = wanted.policy.canonical;
      record.budget_requested = wanted.policy.selection->requested();
      refused.table.methods.push_back(record.method);
      refused.records.push_back(record);
    }
  }
  return tables;
}

Environment environment_of_refusal(const Experiment& experiment,
                                   const std::vector<std::string>& command) {
  Environment result = read_environment(kernels::find_device(experiment.device));
  result.command = command;
  result.weights = {.name = experiment.model, .sha256 = {}};
  return result;
}

}  // namespace kvg::harness
