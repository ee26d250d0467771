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
SIZES = dict(vocab_size=97, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64, bos_token_id=0, eos_token_id=0)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
NEOX = SIZES | {"num_attention_heads": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                              "partial_rotary_factor": 0.25}}

CASES = {
    "llama": (LlamaForCausalLM, LlamaConfig, SIZES | {"tie_word_embeddings": True}),
    "llama-3": (LlamaForCausalLM, LlamaConfig,
                SIZES | {"num_key_value_heads": 2, "rope_parameters": LLAMA3, "tie_word_embeddings": False}),
    "llama-linear": (LlamaForCausalLM, LlamaConfig,
                     SIZES | {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "rms_norm_eps": 1e-3,
                              "rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}}),
    "mistral": (MistralForCausalLM, MistralConfig,
                SIZES | {"num_key_value_heads": 2, "head_dim": 16, "sliding_window": 32}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, SIZES | {"num_key_value_heads": 2, "head_dim": 16}),
    "neox": (GPTNeoXForCausalLM, GPTNeoXConfig, NEOX | {"use_parallel_residual": True}),
    "neox-sequential": (GPTNeoXForCausalLM, GPTNeoXConfig,
                        NEOX | {"use_parallel_residual": False, "hidden_act": "gelu_new"}),
}


def randomise(model, generator):
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 2:
            weight.data = noise / weight.shape[1] ** 0.5
        else:
            weight.data = 0.3 * noise + (0.0 if name.endswith("bias") else 1.0)


def write(name, model_class, config_class, settings, folder):
    generator = torch.Generator().manual_seed(1000 + list(CASES).index(name))
    model = model_class(config_class(**settings)).float().eval()
    randomise(model, generator)
    ids = torch.randint(0, SIZES["vocab_size"], (1, TOKENS), generator=generator)
    with torch.no_grad():
        logits = model(ids, attention_mask=torch.ones_like(ids)).logits[0]
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    golden = {"made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
              "ids": ids[0].tolist(), "logits": [[float(f"{x:.8g}") for x in row] for row in logits.tolist()]}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(f"{name}: logits from {logits.min():.3f} to {logits.max():.3f}, sd {logits.std():.3f}")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, safetensors {safetensors.__version__}")
    torch.manual_seed(0)
    for case, (model_class, config_class, settings) in CASES.items():
        target = pathlib.Path(__file__).parent / "families" / case
        target.mkdir(parents=True, exist_ok=True)
        write(case, model_class, config_class, settings, target)
