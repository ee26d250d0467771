#!/usr/bin/env bash
# Renders the runs under results/ into the README: what stands between
#   <!-- results: FILE... -->  and  <!-- end -->
# becomes the output of `kvgauge report FILE...`, and after
#   <!-- performance: FOLDER -->
# that of results/performance.awk over the folder's runs.
#   results/render.sh KVGAUGE           writes the README
#   results/render.sh KVGAUGE --check   fails when that would change it
set -euo pipefail

kvgauge="$(realpath "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rendered="$(mktemp)"
trap 'rm -f "$rendered"' EXIT

inside=no
while IFS= read -r line || [[ -n "$line" ]]; do
  if [[ "$line" =~ ^'<!-- results: '(.*)' -->'$ ]]; then
    read -r -a files <<<"${BASH_REMATCH[1]}"
    printf '%s\n\n' "$line"
    "$kvgauge" report "${files[@]}"
    echo
    inside=yes
  elif [[ "$line" =~ ^'<!-- performance: '(.*)' -->'$ ]]; then
    printf '%s\n\n' "$line"
    awk -f results/performance.awk "${BASH_REMATCH[1]}"/*.json
    echo
    inside=yes
  elif [[ "$line" == '<!-- end -->' ]]; then
    inside=no
  fi
  if [[ $inside == no ]]; then
    printf '%s\n' "$line"
  fi
done <README.md >"$rendered"

if [[ "${2:-}" == --check ]]; then
  diff -u README.md "$rendered" || { echo "README.md is not what results/render.sh writes" >&2; exit 1; }
else
  cp "$rendered" README.md
fi
