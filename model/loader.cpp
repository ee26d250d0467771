#include "model/loader.h"

#include <algorithm>

namespace kvg::model {
namespace {

// Consecutive elements of a tensor that stay consecutive in its part.
struct Run {
  std::size_t from = 0;
  std::size_t to = 0;
  std::size_t count = 0;
};

// Source rows are q, k, v of head 0, then of head 1, ...; the part has all q, then k, then v.
std::vector<Run> runs_by_head(const WeightPart& part, const kernels::HeadShape& shape) {
  const auto heads = static_cast<std::size_t>(shape.heads);
  const std::size_t block =
      static_cast<std::size_t>(shape.head_dim) * static_cast<std::size_t>(part.columns);
  std::vector<Run> runs;
  for (std::size_t head = 0; head < heads; ++head) {
    for (std::size_t which = 0; which < 3; ++which) {
      runs.push_back({.from = (3 * head + which) * block,
                      .to = (which * heads + head) * block,
                      .count = block});
    }
  }
  return runs;
}

class FileFiller {
 public:
  explicit FileFiller(const FillJob& job) : job_(job) {}

  void fill(const WeightPart& part, const PartSource& source, const FoundTensor& tensor) {
    tensor.file->will_need(*tensor.entry);
    if (part.by_head) {
      for (const Run& run : runs_by_head(part, job_.config.heads)) {
        copy(part, tensor, run);
      }
    } else {
      const std::size_t count =
          static_cast<std::size_t>(source.rows) * static_cast<std::size_t>(part.columns);
      copy(part, tensor, {.from = 0, .to = filled_, .count = count});
      filled_ += count;
    }
    job_.backend.synchronize();
    tensor.file->give_back(*tensor.entry);
  }

  void begin_part() { filled_ = 0; }

 private:
  void copy(const WeightPart& part, const FoundTensor& tensor, const Run& run) {
    const DType from = tensor.entry->weight_dtype().value();
    const std::byte* data = tensor.file->data(*tensor.entry) + run.from * size_of(from);
    auto* out = job_.storage.as<std::byte>(part.offset + run.to * size_of(part.dtype));
    if (from == part.dtype) {
      job_.backend.upload(out, data, run.count * size_of(from));
      return;
    }
    staging_.resize(kStagingBytes);
    const std::size_t at_once = kStagingBytes / size_of(part.dtype);
    for (std::size_t done = 0; done < run.count; done += at_once) {
      const std::size_t count = std::min(at_once, run.count - done);
      // The upload before this one may still be reading the staging memory.
      job_.backend.synchronize();
      convert(staging_.data(), part.dtype, data + done * size_of(from), from, count);
      job_.backend.upload(
          out + done * size_of(part.dtype), staging_.data(), count * size_of(part.dtype));
    }
  }

  const FillJob& job_;
  std::size_t filled_ = 0;  ///< elements of the current part
  std::vector<std::byte> staging_;
};

}  // namespace

void fill_from_files(const FillJob& job, const WeightFiles& files) {
  FileFiller filler(job);
  for (const WeightPart& part : job.layout.parts) {
    filler.begin_part();
    for (const PartSource& source : part.sources) {
      filler.fill(part, source, files.find(part, source));
    }
    if (job.progress) {
      job.progress(part.offset + part.bytes(), job.layout.total);
    }
  }
}

}  // namespace kvg::model
