#!/usr/bin/env bash
# From a fresh Debian 12 or Ubuntu 24.04 to a measured table or a tested tree:
#   ./bootstrap.sh run [arguments of `kvgauge run`]    the main job when there are none
#   ./bootstrap.sh test                                every test that needs no GPU
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
build="$root/build/release"
log="$root/build/bootstrap.log"
cores="$(nproc)"

packages=(
  cmake ninja-build g++ git pkg-config
  nlohmann-json3-dev libcli11-dev libsentencepiece-dev libopenblas-dev
  libpcre2-dev libicu-dev libssl-dev libyaml-cpp-dev libgtest-dev libbenchmark-dev libjs-chart.js
)

say() { printf '== %s\n' "$*" >&2; }

# Runs a command with its output in the log; shows the end of it when the command fails.
quietly() {
  if ! "$@" >>"$log" 2>&1; then
    printf '%s\n' "failed: $*" "the end of $log:" >&2
    tail -n 40 "$log" >&2
    exit 1
  fi
}

install_packages() {
  command -v dpkg-query >/dev/null || { say "no dpkg here: taking it that the packages are installed"; return; }
  local missing=() package
  for package in "${packages[@]}"; do
    if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]]; then
      missing+=("$package")
    fi
  done
  if ((${#missing[@]} == 0)); then
    return
  fi
  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; }; then
      printf '%s\n' "some packages are missing; as root, run:" \
        "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends "${missing[@]}"
}

find_nvcc() { command -v nvcc || { [[ -x /usr/local/cuda/bin/nvcc ]] && echo /usr/local/cuda/bin/nvcc; }; }

# CUDA only where a GPU answers and there is a compiler for it.
cuda_options() {
  local nvcc architectures
  if ! nvidia-smi -L 2>/dev/null | grep -q '^GPU ' || ! nvcc="$(find_nvcc)"; then
    echo -DKVG_CUDA=OFF
    return
  fi
  architectures="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sort -u | tr -d '.' |
    sed 's/^90$/90a/; s/$/-real/' | paste -sd ';')"
  echo -DKVG_CUDA=ON
  echo "-DCMAKE_CUDA_COMPILER=$nvcc"
  echo "-DCMAKE_CUDA_ARCHITECTURES=$architectures"
}

configure() {
  local options
  mapfile -t options < <(cuda_options)
  say "configuring (${options[0]#-D})"
  cd "$root"
  quietly cmake --preset release "${options[@]}"
}

usage() {
  sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# Where the caller stands: the program is run there, so that relative paths mean what they say.
from="$PWD"
command="${1:-}"
case "$command" in
  run | test) shift ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 1 ;;
esac

mkdir -p "$root/build"
: >"$log"
install_packages
configure
if [[ "$command" == run ]]; then
  say "building on $cores cores"
  quietly cmake --build "$build" --target kvgauge_program --parallel "$cores"
  cd "$from"
  exec "$build/kvgauge" run "$@"
fi
say "building on $cores cores, tests included"
quietly cmake --build "$build" --parallel "$cores"
say "testing"
# Tests run beside each other: threads that wait must not spin on cores that others need.
export OMP_WAIT_POLICY=passive
ctest --preset release --parallel "$cores" --progress "$@"
