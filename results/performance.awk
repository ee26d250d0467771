# The README's performance table from recorded runs: `kvgauge run --json`, decode_bench and peers.py.
# Of several files that measured the same, a run's record goes before a benchmark, then the newest;
# what none measured is a dash. Bounds are those of an H200: bytes / 4.67 TB/s, FLOPs / 790 TFLOP/s.
#   awk -f results/performance.awk results/h200/*.json
#
# These programs write one member a line, two spaces a level, so that a line's depth is its place:
# 2 an array of what was measured, 4 its elements, 6 their members, 8 members of these.

BEGIN {
  kBytesAMs = 4.67e9
  kFlopsAMs = 790e9
  kWorkspace = 64 * 1024 * 1024
}

FNR == 1 {
  split("", of)
  split("", where)
  list = ""
  file = FILENAME
  sub(/.*\//, "", file)
}

/^    \{/ { split("", of) }
/^    }/ {
  if (list == "records") take_record()
  if (list == "benchmarks") take_benchmark()
  if (list == "peers") take_peer()
}
/^ *"[^"]*": / {
  depth = match($0, /"/) - 1
  key = substr($0, depth + 2)
  sub(/".*/, "", key)
  value = substr($0, depth + length(key) + 5)
  sub(/,$/, "", value)
  gsub(/^"|"$/, "", value)
  if (depth == 2) list = key
  if (depth == 4) where[key] = value
  if (depth == 6) { of[key] = value; parent = key }
  if (depth == 8) of[parent "." key] = value
}

function card() { return "gpu" in where ? where["gpu"] : where["device"] }
function made_at() { return "time_utc" in where ? where["time_utc"] : where["date"] }

# Keeps a figure when no better one is known of `key`.
function keep(key, rank, figure, bound) {
  rank = rank made_at()
  if (key in ranks && ranks[key] >= rank) return
  ranks[key] = rank
  figures[key] = figure
  bounds[key] = bound
  files[key] = file
  cards[file] = card()
  drivers[file] = where["driver"]
  sources[file] = file " (" made_at() ", commit " substr(where["commit"], 1, 12) ")"
  if ("transformers" in where) {
    peer = "Transformers " where["transformers"] " with torch " where["torch"]
  }
}

function model_of(name) { sub(/^synthetic:/, "", name); return name }

function take_record(  shape, room) {
  if (of["status"] != "ok") return
  if (of["protocol"] == "stream") {
    keep("stream/" model_of(of["model"]) "/" of["method"], 2, 1e3 * of["tpot"],
         of["bytes_per_step"] / kBytesAMs)
  }
  if (of["protocol"] != "speed" || of["method"] != "baseline") return
  shape = model_of(of["model"]) "/" of["batch"] "/" of["settings.prompt_len"]
  keep("decode/" shape, 2, 1e3 * of["tpot"], of["bytes_per_step"] / kBytesAMs)
  keep("prefill/" shape, 2, 1e3 * of["ttft"], of["flops_prefill"] / kFlopsAMs)
  room = of["memory.weights_bytes"] + of["memory.kv_bytes"] + kWorkspace
  keep("peak/" shape, 2, of["memory.pool_used_peak_bytes"], room)
}

function take_benchmark(  parts, prompt, batch) {
  if (split(of["name"], parts, "/") < 4 || "error_occurred" in of) return
  prompt = parts[3]
  batch = parts[4]
  sub(/prompt:/, "", prompt)
  sub(/batch:/, "", batch)
  keep(parts[1] "/" model_of(parts[2]) "/" batch "/" prompt, 1, of["real_time"],
       of["real_time"] / 1e3 * (parts[1] == "decode" ? of["bytes/s"] / kBytesAMs : of["flop/s"] / kFlopsAMs))
}

function take_peer(  shape) {
  shape = of["model"] "/" of["batch"] "/" of["prompt"]
  if ("eager.decode_ms" in of) keep("eager/decode/" shape, 0, of["eager.decode_ms"])
  if ("eager.prefill_ms" in of) keep("eager/prefill/" shape, 0, of["eager.prefill_ms"])
  if ("eager.peak_allocated_bytes" in of) keep("eager/peak/" shape, 0, of["eager.peak_allocated_bytes"])
  if ("compiled.decode_ms" in of) keep("compiled/decode/" shape, 0, of["compiled.decode_ms"])
  if ("stream.token_ms" in of) keep("eager/stream/" of["model"] "/streaming_256", 0, of["stream.token_ms"])
}

function ms(figure) { return sprintf(figure + 0 < 100 ? "%.2f ms" : "%.0f ms", figure) }

function cell(key, bytes) {
  if (!(key in figures)) return "-"
  used[files[key]] = 1
  if (bytes) return sprintf("%+.1f %%", 100 * (figures[key] / bytes - 1))
  return ms(figures[key])
}

function row(work, key, wanted) {
  if (!(key in figures)) {
    printf "| %s | - | - | - | %s | %s | %s |\n", work, wanted, cell("eager/" key), cell("compiled/" key)
    return
  }
  printf "| %s | %s | %s | %.1f %% | %s | %s | %s |\n", work, ms(bounds[key]), cell(key),
         100 * bounds[key] / figures[key], wanted, cell("eager/" key), cell("compiled/" key)
}

function peak_row(work, key,  bytes) {
  bytes = key in figures ? bounds[key] : 0
  printf "| %s | - | %s | - | at most +3 %% | %s | - |\n", work, bytes ? cell(key, bytes) : "-",
         bytes ? cell("eager/" key, bytes) : "-"
}

function provenance(  name, ours, theirs, at) {
  for (name in used) {
    if (at != "" && at != cards[name]) {
      print "performance.awk: " name " is of another card, " cards[name] > "/dev/stderr"
      exit 1
    }
    at = cards[name]
    if (drivers[name] != "null") driver = drivers[name]
  }
  # In the order of the names, which awk does not keep.
  for (i = 1; i < ARGC; ++i) {
    name = ARGV[i]
    sub(/.*\//, "", name)
    if (!(name in used)) continue
    if (name ~ /^peers/) theirs = theirs (theirs == "" ? "" : ", ") sources[name]
    else ours = ours (ours == "" ? "" : ", ") sources[name]
  }
  if (ours == "") return
  printf "\nMeasured on %s, driver %s: %s.", at, driver, ours
  if (theirs != "") printf " %s: %s.", peer, theirs
  print ""
}

END {
  print "| Work | Bound | Ours | Of bound | Wanted | Transformers | compiled |"
  print "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
  row("decode, llama-3.1-8b bf16, prompt 2000", "decode/llama-3.1-8b/1/2000", "85 %")
  row("decode, pythia-2.8b f16, prompt 2000", "decode/pythia-2.8b/1/2000", "75 %")
  row("decode, llama-3.2-1b bf16, prompt 2000", "decode/llama-3.2-1b/1/2000", "60 %")
  row("decode, llama-3.1-8b, prompt 32000", "decode/llama-3.1-8b/1/32000", "80 %")
  row("decode, llama-3.1-8b, batch 32, prompt 2000", "decode/llama-3.1-8b/32/2000", "60 %")
  row("prefill, llama-3.1-8b, 2000 tokens", "prefill/llama-3.1-8b/1/2000", "75 %")
  row("prefill, llama-3.1-8b, 32000 tokens", "prefill/llama-3.1-8b/1/32000", "72 %")
  row("prefill, pythia-2.8b, 2000 tokens", "prefill/pythia-2.8b/1/2000", "60 %")
  row("`stream`, pythia-2.8b, streaming_256", "stream/pythia-2.8b/streaming_256", "70 %")
  row("`stream`, pythia-2.8b, baseline", "stream/pythia-2.8b/baseline", "-")
  peak_row("peak, llama-3.1-8b, prompt 2000", "peak/llama-3.1-8b/1/2000")
  peak_row("peak, llama-3.1-8b, prompt 32000", "peak/llama-3.1-8b/1/32000")
  peak_row("peak, llama-3.1-8b, batch 32, prompt 2000", "peak/llama-3.1-8b/32/2000")
  peak_row("peak, llama-3.2-1b, prompt 2000", "peak/llama-3.2-1b/1/2000")
  peak_row("peak, pythia-2.8b, prompt 2000", "peak/pythia-2.8b/1/2000")
  provenance()
}
