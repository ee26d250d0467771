"""Golden vectors of the codecs: what int_sym, int_asym, fp8 and nvfp4 of the oracles' reference.py read back.

Run in this folder: python3 codecs.py PATH_OF_reference.py > codecs.json   (torch on the CPU)

Floats are written as the hexadecimal digits of their bits, eight each. "hadamard" cases hold the transformed vector,
to be met within rounding, and what the quantiser makes of exactly that vector.
"""
import importlib.util
import json
import struct
import sys

import torch

CHANNELS = 128


def load(path):
    spec = importlib.util.spec_from_file_location("reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bits(x):
    return "".join(struct.pack(">f", v).hex() for v in x.tolist())


def vectors():
    random = torch.Generator().manual_seed(1)
    normal = torch.randn(CHANNELS, generator=random)
    outlier = normal.clone()
    outlier[37] = -211.0
    signs = torch.where(torch.arange(CHANNELS) % 3 == 0, -1.0, 1.0)
    ramp = torch.arange(CHANNELS, dtype=torch.float32)
    ties = (ramp - 63.5)
    ties[::32] = 127.0  # a scale of 1: every other element lies halfway
    ties[1::32] = -127.0
    fours = (ramp % 29) / 4  # a scale of 1 for 4-bit floats, halves between their levels
    fours = torch.where(fours > 6, 6.0, fours) * signs
    fours[::16] = 6.0
    limits = torch.tensor([448, -448, 464, 465, 500, -1e4, 2.0**-9, 2.0**-10, 3 * 2.0**-10, 2.0**-6, 2.0**-6 - 2.0**-12,
                           -2.0**-7, 0.0, -0.0, 240, 247, 248, 249, 256, 264, 272, 17, 18, 19, 20, 21, 22, 23, 24,
                           1.0625, 1.1875, -1.0625], dtype=torch.float32)
    return {
        "random": normal,
        "shifted": normal * 0.3 + 5.0,
        "constant": torch.full((CHANNELS,), 0.3),
        "zero": torch.zeros(CHANNELS),
        "one outlier": outlier,
        "subnormal": normal * 1e-41,
        "scales below a half's normals": normal * 3e-5,
        "scales that round to zero": normal * 1e-7,
        "largest halves": torch.where(ramp % 5 == 0, 65504.0, 0.0) * signs + normal * 1000 * (ramp % 5 != 0),
        "ties": ties,
        "ties of 4-bit floats": fours,
        "limits of 8-bit floats": limits.repeat(CHANNELS // 32),
    }


def main():
    reference = load(sys.argv[1])
    codecs = {}
    for group in (64, 128):
        codecs[f"symmetric 8 {group}"] = lambda x, group=group: reference.int_sym(x, 8, group)
    for width in (2, 4, 8):
        for group in (32, 64):
            codecs[f"asymmetric {width} {group}"] = lambda x, w=width, g=group: reference.int_asym(x, w, g)
            if width < 8:
                codecs[f"symmetric {width} {group}"] = lambda x, w=width, g=group: reference.int_sym(x, w, g)
    codecs["e4m3 8 0"] = reference.fp8
    codecs["nvfp4 4 16"] = reference.nvfp4
    inputs = vectors()
    hadamard = reference.hadamard(CHANNELS, "cpu")
    golden = {
        "made_by": {"torch": torch.__version__},
        "vectors": {name: bits(x) for name, x in inputs.items()},
        "read": {codec: {name: bits(read(x)) for name, x in inputs.items()} for codec, read in codecs.items()},
        "hadamard": {name: {"transformed": bits(x @ hadamard), "read": bits(reference.int_asym(x @ hadamard, 4, 32))}
                     for name, x in inputs.items() if name != "largest halves"},  # their sums are beyond f16
    }
    json.dump(golden, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
