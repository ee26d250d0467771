"""Makes scoring.json: which entries of a prompt the oracles' reference.py keeps (Tiny.select).

    python3 scoring.py reference.py > scoring.json

Needs torch. Queries, keys and values come from a hash that tests compute too, so the file holds the
choices alone; they are multiples of 1/64 below 2, which f16 and bf16 hold exactly.
"""
import importlib.util, json, math, sys
import torch

BATCH, HEADS, KV_HEADS, DIM, TOKENS, WINDOW, KERNEL = 2, 4, 2, 64, 200, 32, 5
CASES = [("snapkv", 64), ("snapkv", 40), ("pyramidkv", 64), ("adakv", 64), ("adakv", 96), ("knorm", 50),
         ("keydiff", 50), ("tova", 50), ("streaming", 50), ("expected", 50), ("expected", 120)]


def mixed(value):
    """One round of splitmix64, as in kernels/hash.h."""
    mask = (1 << 64) - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def values(shape, which):
    count = math.prod(shape)
    return torch.tensor([(mixed(which * 1000000 + i) % 221 - 110) / 64 for i in range(count)]).view(shape)


def tiny(module):
    """The reference without a checkpoint: what select() reads of it."""
    t = module.Tiny.__new__(module.Tiny)
    t.H, t.G, t.D, t.L, t.rot, t.dev = HEADS, KV_HEADS, DIM, 4, DIM, "cpu"
    inv = 1.0 / (10000.0 ** (torch.arange(0, DIM, 2, dtype=torch.float64) / DIM))
    angle = torch.arange(0, 1024, dtype=torch.float64)[:, None] * inv[None]
    angle = torch.cat([angle, angle], -1)
    t.cos, t.sin = angle.cos().float(), angle.sin().float()
    return t


def main():
    spec = importlib.util.spec_from_file_location("reference", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    t, group = tiny(module), HEADS // KV_HEADS
    q = values((BATCH, TOKENS, HEADS, DIM), 1).transpose(1, 2)
    k, v = values((BATCH, KV_HEADS, TOKENS, DIM), 2), values((BATCH, KV_HEADS, TOKENS, DIM), 3)
    back = module.Tiny.__new__(module.Tiny)  # turns the other way
    back.rot, back.cos, back.sin = t.rot, t.cos, -t.sin
    q0 = back.rope(q.double(), torch.arange(TOKENS)).float()
    future = torch.full((TOKENS, TOKENS), float("-inf")).triu(1)
    logits = (q.reshape(BATCH, KV_HEADS, group, TOKENS, DIM) @ k[:, :, None].transpose(-1, -2)) / math.sqrt(DIM) + future
    pr = torch.softmax(logits.double(), -1)
    kept = []
    for method, budget in CASES:
        layer = 1
        mask = t.select(layer, method, budget, WINDOW, KERNEL, 20, q0, k, v, pr)
        positions = [[torch.nonzero(head)[:, 0].tolist() for head in row] for row in mask]
        kept.append({"method": method, "budget": budget, "layer": layer, "kept": positions})
    shape = {"batch": BATCH, "heads": HEADS, "kv_heads": KV_HEADS, "head_dim": DIM, "tokens": TOKENS, "window": WINDOW, "kernel": KERNEL}
    print(json.dumps({"torch": torch.__version__, "shape": shape, "cases": kept}, separators=(",", ":")).replace('{"method"', '\n{"method"'))


main()
