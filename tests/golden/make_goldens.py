"""Golden logits of every model family, from Hugging Face Transformers on tiny seeded checkpoints.

Run in this folder: python3 make_goldens.py   (torch on the CPU, transformers, safetensors)

For each case it writes families/CASE/{config.json,model.safetensors,golden.json}. Weights, biases and norms all vary
enough that a part that is swapped, left out or read from a wrong row moves the logits far beyond the tests' tolerance.
"""
import json
import pathlib

import safetensors
import torch
import transformers
from transformers import (GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

TOKENS = 24
# head_dim 64: the smallest that every backend is compiled for.
SIZES = dict(vocab_size=97, intermediate_size=56, num_hidden_layers=2, max_position_embeddings=64, bos_token_id=0,
             eos_token_id=0)
DENSE = SIZES | dict(hidden_size=16, head_dim=64, num_attention_heads=4)
NEOX = SIZES | dict(hidden_size=128, num_attention_heads=2,
                    rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25})
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16

# name -> model, config, settings, type of the saved weights
CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig, DENSE | {"tie_word_embeddings": True}, F32),
    "llama-3": (LlamaForCausalLM, LlamaConfig,
                DENSE | {"num_key_value_heads": 2, "rope_parameters": LLAMA3, "tie_word_embeddings": False}, BF16),
    "llama-linear": (LlamaForCausalLM, LlamaConfig,
                     DENSE | {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "rms_norm_eps": 1e-3,
                              "rope_parameters": LINEAR}, F16),
    "mistral": (MistralForCausalLM, MistralConfig, DENSE | {"num_key_value_heads": 2, "sliding_window": 32}, BF16),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, DENSE | {"num_key_value_heads": 2, "tie_word_embeddings": True}, BF16),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, DENSE | {"num_key_value_heads": 2}, BF16),
    "neox": (GPTNeoXForCausalLM, GPTNeoXConfig, NEOX | {"use_parallel_residual": True}, F16),
    "neox-sequential": (GPTNeoXForCausalLM, GPTNeoXConfig,
                        NEOX | {"use_parallel_residual": False, "hidden_act": "gelu_new"}, F16),
}


def randomise(model, dtype, generator):
    """Values that the saved type holds exactly: the logits are then computed from just what is saved."""
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 2:
            value = noise / weight.shape[1] ** 0.5
        else:
            value = 0.3 * noise + (0.0 if name.endswith("bias") else 1.0)
        weight.data = value.to(dtype).float()


def write(name, folder):
    model_class, config_class, settings, dtype = CASES[name]
    generator = torch.Generator().manual_seed(1000 + list(CASES).index(name))
    model = model_class(config_class(**settings)).float().eval()
    randomise(model, dtype, generator)
    ids = torch.randint(0, SIZES["vocab_size"], (1, TOKENS), generator=generator)
    with torch.no_grad():
        logits = model(ids, attention_mask=torch.ones_like(ids)).logits[0]
    model.to(dtype).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "generation_config.json").unlink(missing_ok=True)
    golden = {"made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
              "ids": ids[0].tolist(), "logits": [[float(f"{x:.8g}") for x in row] for row in logits.tolist()]}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(f"{name}: logits from {logits.min():.3f} to {logits.max():.3f}, sd {logits.std():.3f}")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, safetensors {safetensors.__version__}")
    torch.manual_seed(0)
    for case in CASES:
        target = pathlib.Path(__file__).parent / "families" / case
        target.mkdir(parents=True, exist_ok=True)
        write(case, target)
