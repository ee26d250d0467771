#!/usr/bin/env bash
# The README's walk from two checkpoints to a report and a gate, in a folder of its own.
#   results/walk.sh KVGAUGE            walks it and says how long that took
#   results/walk.sh KVGAUGE --record   also keeps its runs and the picture of its report
set -euo pipefail

results="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin"
ln -s "$(realpath "$1")" "$folder/bin/kvgauge"
PATH="$folder/bin:$PATH"
cd "$folder"

for model in tiny-llama tiny-neox; do
  kvgauge run --model $model --policy suite:quick --protocol split --prefill 1024 \
    --num-samples 1 --json $model-text.json
  kvgauge run --model $model --dataset niah --context 500,1000 --num-samples 1 \
    --policy baseline,streaming_256,h2o_256,snapkv_256,int4 --json $model-needles.json
done
kvgauge report *-text.json *-needles.json -o report.html

kvgauge run --model tiny-llama --policy suite:quick --protocol split --prefill 1024 \
  --num-samples 1 --json again.json
kvgauge compare tiny-llama-text.json again.json --max-tpot +200%
echo "walked in $SECONDS s" >&2

if [[ "${2:-}" == --record ]]; then
  for run in tiny-*.json; do
    cp "$run" "$results/cpu/walk-$run"
  done
  chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1130 \
    --screenshot="$results/report.png" "file://$folder/report.html" 2>/dev/null
fi
