#!/usr/bin/env python3
"""Measures Hugging Face Transformers on the shapes that kvgauge is measured on, with random weights.

Needs torch and transformers; no part of the build or of any test. A case is measured eagerly and,
but for streams, compiled. Cases of one model share a process that builds it once. One that fails is
recorded with its error; after one that hangs or dies a new process goes on. The file is rewritten
after each.

  results/peers.py --out results/h200/peers.json --commit "$(git rev-parse HEAD)"
  results/peers.py --out /tmp/peers.json pythia-2.8b llama-3.1-8b:eager     # some cases and ways
  results/peers.py --out /tmp/peers.json --device cpu --tiny                # tries the script
"""

import argparse
import datetime
import inspect
import json
import os
import queue
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SHAPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "model", "shapes")

# name: shape, dtype, rows, prompt tokens. A stream feeds token by token and keeps 4 + 252 entries.
CASES = {
    "llama-3.1-8b": ("llama-3.1-8b", "bfloat16", 1, 2000),
    "llama-3.1-8b-32000": ("llama-3.1-8b", "bfloat16", 1, 32000),
    "llama-3.1-8b-batch32": ("llama-3.1-8b", "bfloat16", 32, 2000),
    "pythia-2.8b": ("pythia-2.8b", "float16", 1, 2000),
    "pythia-2.8b-stream": ("pythia-2.8b", "float16", 1, 2000),
    "llama-3.2-1b": ("llama-3.2-1b", "bfloat16", 1, 2000),
}
SINKS, WINDOW = 4, 252
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1000}


def ways_of(name):
    return ["stream"] if name.endswith("-stream") else ["eager", "compiled"]


def chosen(words):
    """(case, way) pairs of CASE and CASE:WAY, those of a model together, eager ones first."""
    pairs = []
    for word in words or CASES:
        name, _, way = word.partition(":")
        if name not in CASES or (way and way not in ways_of(name)):
            known = " ".join(f"{case}:{kind}" for case in CASES for kind in ways_of(case))
            sys.exit(f"results/peers.py: {word} is no case; allowed: {known}")
        pairs += [(name, each) for each in ([way] if way else ways_of(name))]
    models = [shape for shape, *_ in CASES.values()]
    return sorted(dict.fromkeys(pairs), key=lambda pair: (models.index(CASES[pair[0]][0]),
                                                          pair[1] == "compiled"))


# What follows runs in the process of one model.


class Model:
    def __init__(self, shape, dtype, args):
        import torch

        self.torch = torch
        self.args = args
        self.device = args.device
        self.model = self.build(shape, getattr(torch, dtype))
        forward = inspect.signature(self.model.forward).parameters
        # Names that came and went between releases.
        self.last = next((key for key in ("logits_to_keep", "num_logits_to_keep") if key in forward), None)
        self.takes_cache_position = "cache_position" in forward

    def build(self, shape, dtype):
        from transformers import AutoConfig, AutoModelForCausalLM

        with open(os.path.join(SHAPES, shape + ".json"), encoding="utf-8") as file:
            values = json.load(file)
        if self.args.tiny:
            values.update({key: TINY[key] for key in TINY if key in values})
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

    def forget(self):
        """What the last case left, so that a peak is a case's own."""
        self.torch.compiler.reset()
        if self.device == "cuda":
            self.torch.cuda.empty_cache()
            self.torch.cuda.reset_peak_memory_stats()

    def memory(self):
        if self.device != "cuda":
            return {}
        cuda = self.torch.cuda
        return {"peak_allocated_bytes": cuda.max_memory_allocated(),
                "peak_reserved_bytes": cuda.max_memory_reserved()}


class Case:
    def __init__(self, name, model):
        _, _, self.batch, self.prompt = CASES[name]
        if model.args.tiny:
            self.prompt = min(self.prompt, 64)
        self.of = model
        self.torch = model.torch
        generator = self.torch.Generator().manual_seed(0)
        vocab = model.model.config.vocab_size
        ids = self.torch.randint(0, vocab, (self.batch, self.prompt), generator=generator)
        self.ids = ids.to(model.device)

    def prefill(self, cache):
        return self.of.feed(self.of.model.forward, self.ids, cache, self.of.positions(0, self.prompt))

    def decode(self, forward, cache, logits, skip):
        """Seconds of greedy steps, each ended by its token on the host; `skip` of them untimed."""
        seconds = []
        position = self.of.positions(self.prompt, 1)
        token = logits.argmax(-1, keepdim=True)

        def step():
            best = self.of.feed(forward, token, cache, position).argmax(-1, keepdim=True)
            best.cpu()
            return best

        for index in range(skip + self.of.args.steps):
            if self.of.device == "cuda":
                self.torch.compiler.cudagraph_mark_step_begin()
            best, passed = self.of.timed(step)
            token.copy_(best)
            position.add_(1)
            if index >= skip:
                seconds.append(passed)
        return seconds

    def static_cache(self):
        from transformers import StaticCache

        model = self.of.model
        takes = inspect.signature(StaticCache.__init__).parameters
        offered = {"config": model.config, "max_batch_size": self.batch, "batch_size": self.batch,
                   "max_cache_len": self.prompt + self.of.args.steps + 32, "device": self.of.device,
                   "dtype": model.dtype}
        return StaticCache(**{key: value for key, value in offered.items() if key in takes})


def figures(key, seconds):
    ordered = sorted(seconds)
    return {key + "_ms": 1e3 * statistics.median(ordered), key + "_min_ms": 1e3 * ordered[0],
            key + "_max_ms": 1e3 * ordered[-1], key + "_count": len(ordered)}


def run_eager(case):
    from transformers import DynamicCache

    seconds = []
    # At least three after an untimed one, more while they take little.
    while len(seconds) < 4 or (len(seconds) < 8 and sum(seconds) < 2.0):
        cache = DynamicCache()
        logits, passed = case.of.timed(lambda: case.prefill(cache))
        seconds.append(passed)
    decode = case.decode(case.of.model.forward, cache, logits, skip=4)
    return {**figures("prefill", seconds[1:]), **figures("decode", decode)}


def run_compiled(case):
    """Decoding alone: a graph of a step, over a cache of fixed size."""
    last_error = None
    # Some models break their graph, and not every release has CUDA graphs for every cache.
    for mode, fullgraph in (("reduce-overhead", True), ("reduce-overhead", False),
                            ("max-autotune-no-cudagraphs", True)):
        case.of.forget()
        cache = case.static_cache()
        logits = case.prefill(cache).clone()
        compiled = case.torch.compile(case.of.model.forward, mode=mode, fullgraph=fullgraph, dynamic=False)
        try:
            seconds = case.decode(compiled, cache, logits, skip=8)
        except Exception as error:  # whatever the compiler throws, the next way may do
            last_error = error
            continue
        return {"mode": mode, "fullgraph": fullgraph, **figures("decode", seconds)}
    raise last_error


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
        logits = case.of.feed(case.of.model.forward, case.ids[:, at:at + 1], cache, case.of.positions(held, 1))
        nll = torch.nn.functional.cross_entropy(logits.float(), case.ids[:, at + 1])
        cut(cache, torch)
        return nll.item()

    for at in range(fed):
        seconds.append(case.of.timed(lambda: step(at))[1])
    return figures("token", seconds[len(seconds) // 2:])


def one_line(error):
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"


def run_child(words, args):
    import torch

    shape, dtype, *_ = CASES[words[0].partition(":")[0]]
    model = Model(shape, dtype, args)
    ready = {"parameters": sum(part.numel() for part in model.model.parameters())}
    print("READY", flush=True)
    for word in words:
        name, _, way = word.partition(":")
        start = time.time()
        try:
            # Graphs take no tensors of inference mode in every release.
            with torch.no_grad() if way == "compiled" else torch.inference_mode():
                model.forget()
                run = {"eager": run_eager, "compiled": run_compiled, "stream": run_stream}[way]
                result = {**run(Case(name, model)), **model.memory(), **ready}
        except Exception as error:  # the next case may do
            result = {"error": one_line(error)}
        result["wall_s"] = round(time.time() - start, 1)
        print("RESULT " + json.dumps(result), flush=True)


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
        "gpu": torch.cuda.get_device_name(0) if args.device == "cuda" and torch.cuda.is_available() else None,
        "driver": driver.splitlines()[0] if driver else None,
        "cuda": torch.version.cuda,
        "time_utc": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(["results/peers.py"] + sys.argv[1:]),
    }


def lines_of(stream):
    """A queue of the lines that a process writes, ended by None."""
    lines = queue.Queue()

    def read():
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def next_result(lines, timeout):
    """What the next case yields, and whether its process can go on; building a model is timed apart."""
    deadline = time.time() + timeout
    while True:
        try:
            line = lines.get(timeout=max(deadline - time.time(), 0.0))
        except queue.Empty:
            return {"error": f"not done in {timeout} s"}, False
        if line is None:
            return {"error": "its process ended"}, False
        if line.startswith("RESULT "):
            return json.loads(line[len("RESULT "):]), True
        if line == "READY\n":
            deadline = time.time() + timeout


def measure(pairs, args):
    """Yields the cases and ways of one model and their results."""
    left = list(pairs)
    while left:
        command = [sys.executable, os.path.abspath(__file__), "--child", "--device", args.device,
                   "--steps", str(args.steps)] + (["--tiny"] if args.tiny else [])
        command += [f"{name}:{way}" for name, way in left]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        lines = lines_of(child.stdout)
        goes_on = True
        while left and goes_on:
            result, goes_on = next_result(lines, args.timeout)
            yield left.pop(0), result
        if not goes_on and child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE[:WAY]",
                        help=f"of {', '.join(CASES)}; eager, compiled or stream [all]")
    parser.add_argument("--out", help="file to write")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--steps", type=int, default=32, help="timed decode steps [32]")
    parser.add_argument("--timeout", type=int, default=180, help="seconds of one case and way [180]")
    parser.add_argument("--commit", help="of this clean checkout, where git cannot tell")
    parser.add_argument("--tiny", action="store_true", help="shrinks every shape, to try the script")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_child(args.cases, args)
        return
    if not args.out:
        parser.error("--out is needed")
    pairs = chosen(args.cases)
    where = environment(args)
    if args.device == "cuda" and where["gpu"] is None:
        sys.exit("results/peers.py: torch sees no CUDA device; allowed without one: --device cpu --tiny")
    document = {"schema": "kvgauge.peers/1", "environment": where, "peers": []}
    entries = {}
    for shape in dict.fromkeys(CASES[name][0] for name, _ in pairs):
        for (name, way), result in measure([pair for pair in pairs if CASES[pair[0]][0] == shape], args):
            if name not in entries:
                model, dtype, batch, prompt = CASES[name]
                entries[name] = {"name": name, "model": model, "dtype": dtype, "batch": batch, "prompt": prompt}
                document["peers"].append(entries[name])
            entries[name][way] = result
            print(f"{name}, {way}: {json.dumps(result)}", flush=True)
            with open(args.out, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.write("\n")


if __name__ == "__main__":
    main()
