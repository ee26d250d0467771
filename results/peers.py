#!/usr/bin/env python3
"""Measures Hugging Face Transformers on the shapes that kvgauge is measured on, with random weights.

Needs torch and transformers; no part of the build or of any test. Every case and way runs in a
process of its own, so that peaks are its own and one that fails or hangs costs no other. The file
is rewritten after each.

  results/peers.py --out results/h200/peers.json --commit "$(git rev-parse HEAD)"
  results/peers.py --out /tmp/peers.json --only pythia-2.8b --skip-compiled
  results/peers.py --out /tmp/peers.json --device cpu --tiny      # tries the script itself
"""

import argparse
import datetime
import inspect
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

SHAPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model", "shapes")

# name: shape, dtype, rows, prompt tokens. A stream feeds token by token and keeps 4 + 252 entries.
CASES = {
    "llama-3.1-8b": ("llama-3.1-8b", "bfloat16", 1, 2000),
    "llama-3.1-8b-32000": ("llama-3.1-8b", "bfloat16", 1, 32000),
    "llama-3.1-8b-batch32": ("llama-3.1-8b", "bfloat16", 32, 2000),
    "pythia-2.8b": ("pythia-2.8b", "float16", 1, 2000),
    "llama-3.2-1b": ("llama-3.2-1b", "bfloat16", 1, 2000),
    "pythia-2.8b-stream": ("pythia-2.8b", "float16", 1, 2000),
}
SINKS, WINDOW = 4, 252
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000}


def ways_of(name, skip_compiled):
    if name.endswith("-stream"):
        return ["stream"]
    return ["eager"] if skip_compiled else ["eager", "compiled"]


# What follows runs in the process of one case.


class Case:
    def __init__(self, name, args):
        import torch

        shape, dtype, self.batch, self.prompt = CASES[name]
        if args.tiny:
            self.prompt = min(self.prompt, 64)
        self.torch = torch
        self.device = args.device
        self.steps = args.steps
        self.model = self.build(shape, getattr(torch, dtype), args.tiny)
        generator = torch.Generator().manual_seed(0)
        vocab = self.model.config.vocab_size
        self.ids = torch.randint(0, vocab, (self.batch, self.prompt), generator=generator).to(self.device)
        forward = inspect.signature(self.model.forward).parameters
        # Names that came and went between releases.
        self.last = next((key for key in ("logits_to_keep", "num_logits_to_keep") if key in forward), None)
        self.takes_cache_position = "cache_position" in forward

    def build(self, shape, dtype, tiny):
        from transformers import AutoConfig, AutoModelForCausalLM

        with open(os.path.join(SHAPES, shape + ".json"), encoding="utf-8") as file:
            values = json.load(file)
        if tiny:
            values.update({key: TINY[key] for key in TINY if key in values or key == "vocab_size"})
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                json.dump(values, file)
            config = AutoConfig.from_pretrained(folder)
        self.torch.manual_seed(0)
        self.torch.set_default_dtype(dtype)
        with self.torch.device(self.device):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        return model.to(dtype).eval()

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def timed(self, call):
        self.wait()
        start = time.perf_counter()
        result = call()
        self.wait()
        return result, time.perf_counter() - start

    def feed(self, forward, ids, cache, position):
        """Logits of the last token of each row; `position`: tensor of the ids' positions."""
        more = {self.last: 1} if self.last else {}
        if self.takes_cache_position:
            more["cache_position"] = position
        positions = position.unsqueeze(0).expand(ids.shape[0], -1)
        out = forward(input_ids=ids, past_key_values=cache, position_ids=positions, use_cache=True, **more)
        return out.logits[:, -1, :]

    def positions(self, first, count):
        return self.torch.arange(first, first + count, device=self.device)

    def prefill(self, cache):
        return self.feed(self.model.forward, self.ids, cache, self.positions(0, self.prompt))

    def decode(self, forward, cache, logits, skip):
        """Seconds of greedy steps, each ended by its token on the host; `skip` of them untimed."""
        seconds = []
        position = self.positions(self.prompt, 1)
        token = logits.argmax(-1, keepdim=True)

        def step():
            chosen = self.feed(forward, token, cache, position).argmax(-1, keepdim=True)
            chosen.cpu()
            return chosen

        for index in range(skip + self.steps):
            if self.device == "cuda":
                self.torch.compiler.cudagraph_mark_step_begin()
            chosen, passed = self.timed(step)
            token.copy_(chosen)
            position.add_(1)
            if index >= skip:
                seconds.append(passed)
        return seconds

    def memory(self):
        if self.device != "cuda":
            return {}
        cuda = self.torch.cuda
        return {"peak_allocated_bytes": cuda.max_memory_allocated(),
                "peak_reserved_bytes": cuda.max_memory_reserved()}


def figures(key, seconds):
    ordered = sorted(seconds)
    return {key + "_ms": 1e3 * statistics.median(ordered), key + "_min_ms": 1e3 * ordered[0],
            key + "_max_ms": 1e3 * ordered[-1], key + "_count": len(ordered)}


def run_eager(case):
    from transformers import DynamicCache

    seconds = []
    for _ in range(2 + 5):
        cache = DynamicCache()
        logits, passed = case.timed(lambda: case.prefill(cache))
        seconds.append(passed)
    decode = case.decode(case.model.forward, cache, logits, skip=4)
    return {**figures("prefill", seconds[2:]), **figures("decode", decode)}


def run_compiled(case):
    from transformers import StaticCache

    takes = inspect.signature(StaticCache.__init__).parameters
    offered = {"config": case.model.config, "max_batch_size": case.batch, "batch_size": case.batch,
               "max_cache_len": case.prompt + case.steps + 32, "device": case.device,
               "dtype": case.model.dtype}
    cache = StaticCache(**{key: value for key, value in offered.items() if key in takes})
    logits = case.prefill(cache).clone()
    compiled = case.torch.compile(case.model.forward, mode="reduce-overhead")
    return figures("decode", case.decode(compiled, cache, logits, skip=8))


def cut(cache, torch):
    """Leaves the first SINKS and the last WINDOW entries."""
    def kept(held):
        if held.shape[-2] <= SINKS + WINDOW:
            return held
        return torch.cat([held[..., :SINKS, :], held[..., -WINDOW:, :]], dim=-2)

    if hasattr(cache, "layers"):
        for layer in cache.layers:
            layer.keys, layer.values = kept(layer.keys), kept(layer.values)
    else:
        cache.key_cache = [kept(held) for held in cache.key_cache]
        cache.value_cache = [kept(held) for held in cache.value_cache]


def run_stream(case):
    from transformers import DynamicCache

    torch = case.torch
    cache = DynamicCache()
    seconds = []
    fed = min(case.prompt - 1, 400)

    def step(at):
        # Kept entries have the positions of the kept cache, as a streaming cache gives them.
        held = min(at, SINKS + WINDOW)
        logits = case.feed(case.model.forward, case.ids[:, at:at + 1], cache, case.positions(held, 1))
        nll = torch.nn.functional.cross_entropy(logits.float(), case.ids[:, at + 1])
        cut(cache, torch)
        return nll.item()

    for at in range(fed):
        seconds.append(case.timed(lambda: step(at))[1])
    return figures("token", seconds[len(seconds) // 2:])


def run_child(name, way, args):
    import torch

    case = Case(name, args)
    with torch.inference_mode():
        result = {"eager": run_eager, "compiled": run_compiled, "stream": run_stream}[way](case)
    result.update(case.memory())
    result["parameters"] = sum(part.numel() for part in case.model.parameters())
    print("RESULT " + json.dumps(result))


# What follows runs in the process that was started by hand.


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def environment(args):
    import torch
    import transformers

    here = os.path.dirname(os.path.abspath(__file__))
    commit = args.commit or output_of("git", "-C", here, "rev-parse", "HEAD") or "unknown"
    changed = output_of("git", "-C", here, "status", "--porcelain", "--untracked-files=no", "--",
                        ":(top)", ":(top,exclude)results/*/*")
    driver = output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return {
        "commit": commit,
        "dirty": not args.commit and changed != "",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": sys.version.split()[0],
        "gpu": torch.cuda.get_device_name(0) if args.device == "cuda" else None,
        "driver": driver.splitlines()[0] if driver else None,
        "cuda": torch.version.cuda,
        "time_utc": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(["results/peers.py"] + sys.argv[1:]),
    }


def measure(name, way, args):
    command = [sys.executable, os.path.abspath(__file__), "--child", name, "--way", way,
               "--device", args.device, "--steps", str(args.steps)] + (["--tiny"] if args.tiny else [])
    print(f"{name}, {way} ...", flush=True)
    start = time.time()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done in {args.timeout} s"}
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        tail = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"error": tail[0]}
    return {**json.loads(line[len("RESULT "):]), "wall_s": round(time.time() - start, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="file to write")
    parser.add_argument("--only", action="append", choices=list(CASES), help="repeatable")
    parser.add_argument("--skip-compiled", action="store_true", help="leave torch.compile out")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--steps", type=int, default=32, help="timed decode steps [32]")
    parser.add_argument("--timeout", type=int, default=240, help="seconds of one case and way [240]")
    parser.add_argument("--commit", help="of this clean checkout, where git cannot tell")
    parser.add_argument("--tiny", action="store_true", help="shrinks every shape, to try the script")
    parser.add_argument("--child", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=["eager", "compiled", "stream"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_child(args.child, args.way, args)
        return
    if not args.out:
        parser.error("--out is needed")
    document = {"schema": "kvgauge.peers/1", "environment": environment(args), "peers": []}
    for name in args.only or list(CASES):
        shape, dtype, batch, prompt = CASES[name]
        entry = {"name": name, "model": shape, "dtype": dtype, "batch": batch, "prompt": prompt}
        document["peers"].append(entry)
        for way in ways_of(name, args.skip_compiled):
            entry[way] = measure(name, way, args)
            print(f"  {json.dumps(entry[way])}", flush=True)
            with open(args.out, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.write("\n")


if __name__ == "__main__":
    main()
