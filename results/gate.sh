#!/usr/bin/env bash
# Holds the program to the runs under results/baselines: the same quality and memory to the last
# digit, in both directions; times are not compared.
#   results/gate.sh KVGAUGE [DEVICE]            measures the runs again, fails when a figure moved
#   results/gate.sh KVGAUGE [DEVICE] --record   writes them
# DEVICE: cpu, or h200, whose runs hold for that card alone.
set -euo pipefail

kvgauge="$(realpath "$1")"
machine=cpu
record=no
for word in "${@:2}"; do
  case "$word" in
    cpu | h200) machine="$word" ;;
    --record) record=yes ;;
    *) echo "results/gate.sh: $word is neither cpu, h200 nor --record" >&2; exit 1 ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/baselines"

# Sums differ in their last bits between OpenBLAS's kernels, memory between numbers of threads.
export OPENBLAS_CORETYPE=Haswell
common=(--num-samples 1 --warmup 0 --progress off)
if [[ $machine == cpu ]]; then
  common+=(--device cpu --threads 2)
else
  common+=(--device cuda)
fi
policies=(--policy baseline,streaming_128,h2o_128,int8,int4 --policy h2o:budget=128+int8)

measure() {
  "$kvgauge" run --model "$1" --protocol "$2" --max-tokens 400 "${common[@]}" "${policies[@]}" \
    --json "$3" >/dev/null
}

# Our own kernels come in three forms; the runs were recorded with x86-64-v3's.
quality=(--max-ppl 0% --min-acc 0pt)
if [[ $machine == cpu ]] && { ! grep -qw avx2 /proc/cpuinfo || grep -qw avx512vl /proc/cpuinfo; }; then
  quality=(--max-ppl +0.1% --min-acc -0.5pt)
fi
exact=("${quality[@]}" --max-vram 0% --max-tpot +1000000%)

for model in tiny-llama tiny-neox; do
  for protocol in stream split; do
    run="$machine-$model-$protocol.json"
    if [[ $record == yes ]]; then
      measure "$model" "$protocol" "$run"
      continue
    fi
    fresh="$(mktemp)"
    trap 'rm -f "$fresh"' EXIT
    measure "$model" "$protocol" "$fresh"
    "$kvgauge" compare "$run" "$fresh" "${exact[@]}"
    "$kvgauge" compare "$fresh" "$run" "${exact[@]}" >/dev/null ||
      { echo "$run: a figure is better than recorded; record it again" >&2; exit 1; }
    rm -f "$fresh"
  done
done
