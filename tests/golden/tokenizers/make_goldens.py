"""Writes what Hugging Face's tokenizers do with hard strings and the shipped texts.

Run from anywhere: `python make_goldens.py`, with tokenizers, transformers, sentencepiece and
protobuf installed. It writes, beside itself,
  FAMILY/tokenizer.json  small byte-level BPE tokenizers, trained here on a shipped text and the
                         hard strings, with the normalizer, pre-tokenizer, added tokens and
                         post-processor that the family's real tokenizers have;
  goldens.json           for each tokenizer the ids of the hard strings and, of the shipped texts,
                         the number of ids, the SHA-256 of "id,id,..." and the first 16.
"""

import hashlib
import json
import pathlib

import tokenizers
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TEXTS = ["persuasion", "doctor-moreau", "looking-glass", "wikitext2-test"]

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CASED = (  # splits words where the case changes
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

HARD = [
    "",
    " ",
    "a",
    "Hello, world!",
    " leading",
    "trailing ",
    "  two  and   three    runs     of spaces  ",
    " " * 40,
    "\t\ttabs\tinside \t mixed \t",
    "lines\n\n\nof\n text \n",
    "carriage\r\nreturns\r\n\r\nand\ralone\r",
    " \n \r\n \t\n  x",
    "trailing newlines\n\n",
    "I'm you're he's we've they'll she'd it'S DON'T 'tis o'clock '",
    "curly \u2019s and \u2018quotes\u2019 \u201cdouble\u201d \u2014 dash\u2026",
    "0 1 12 123 1234 12345 1234567890123 3.14159 1,000,000 v2.0.1 0x1F",
    "\u0663\u0664\u0665 \u0967\u0968 \uff11\uff12\uff13 \u00bd \u00b2\u00b3 \u2167 \u2460\u2461 \u3007",
    "def f(x: int) -> str:\n    if x >= 1e-5:\n\t\treturn f\"{x!r}\\n\"  # comment\n",
    "<div class=\"a-b_c\">&nbsp;</div> /* x */ a->b::c && !d || e[0]++;",
    "https://example.org/a?b=c&d=%20#frag user@example.com",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1eb\U0001f1f7 #\ufe0f\u20e3",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u6771\u4eac\u3078\u884c\u304d\u307e\u3059 \uff76\uff9e \uc548\ub155\ud558\uc138\uc694 \U00020000\U0002a6d6",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u0627\u064e\u0644\u0652 \u061f",
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u03ba\u03cc\u03c3\u03bc\u03b5 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0939\u093f\u0928\u094d\u0926\u0940 \u1781\u17d2\u1798\u17c2\u179a",
    "caf\u00e9 cafe\u0301 \u00c5 A\u030a \u212b n\u0303 \u1e69 s\u0323\u0307 s\u0307\u0323",
    "\u1100\u1161\u11a8 \uac01 \u0958 \u0915\u093c \ufb01 \u2126 \u0344 \ufdfd",
    "z\u0336\u0301\u0327\u0302a\u0488\u0489l\u034fg\u20dd",
    "zero\u200bwidth\u200c joiner\u200d bom\ufeff soft\u00adhyphen \u2060 word",
    "\u00a0no-break\u00a0\u202f thin\u2009em\u2003ideographic\u3000line\u2028para\u2029next\u0085x",
    "mongolian\u180evowel\u1680ogham \u205f",
    "vertical\u000btab\u000cform \u001c\u001d\u001e\u001f control\u0001\u007f",
    "nul\u0000inside",
    "\ufffd \ufffd\ufffd replacement \ufffe\uffff noncharacters",
    "private \ue000\uf8ff \U000f0000 \U0010ffff",
    "\u2581under\u2581 \u2581\u2581 spaces \u0120 \u010a bytes",
    "a" * 300,
    "ab" * 150,
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
    "!" * 70 + "?" * 31 + "." * 9,
    "=" * 64 + "\n" + "-" * 65,
    "\u0130stanbul \u0131 \u017f \u1e9e \u00df 'S 'T '\u017f \u01c5 \u02b0",
    "x<|endoftext|>y <|endoftext|> z<|endoftext|><|endoftext|>",
    "<s>a <s> b</s> c<unk>d <pad> [INST] <s",
    "  <s>  x  </s>  ",
    "<|begin_of_text|>x<|eot_id|> <|start_header_id|>user<|end_header_id|>\n\n",
    "<|im_start|>user\nhi<|im_end|>\n<think>\n\n</think> <|im_start",
    "e\u0301<|endoftext|>\u0301e a<|endoftext|>\u0301",
    "in-line  <mask>  and <mask><mask>x x<mask> word,word words sword caf\u00e9! cafe\u0301!",
]


def special(content, **flags):
    return tokenizers.AddedToken(content, special=True, normalized=False, **flags)


def plain(content, **flags):
    return tokenizers.AddedToken(content, special=False, **flags)


def split(pattern, behavior="isolated", invert=False, regex=True):
    return pre_tokenizers.Split(Regex(pattern) if regex else pattern, behavior, invert=invert)


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **options})


def train(pre_tokenizer, normalizer=None, first=(), last=(), ignore_merges=False):
    """`first` are special tokens with the lowest ids, `last` come after the vocabulary."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=list(first),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = (ROOT / "datasets/corpora/looking-glass.txt").read_text(encoding="utf-8")
    tokenizer.train_from_iterator(text.splitlines(keepends=True) + HARD * 3, trainer)
    tokenizer.add_tokens([t for t in last if not t.special])
    tokenizer.add_special_tokens([t for t in last if t.special])
    return tokenizer


def gpt_neox():
    runs = [plain(" " * n, normalized=True) for n in range(24, 1, -1)]
    tokenizer = train(
        byte_level(use_regex=True),
        normalizer=normalizers.NFC(),
        first=[special("<|endoftext|>"), special("<|padding|>")],
        last=runs,
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def llama3():
    names = ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id"]
    tokenizer = train(
        pre_tokenizers.Sequence([split(LLAMA3), byte_level()]),
        last=[special(f"<|{name}|>") for name in names],
        ignore_merges=True,
    )
    begin = "<|begin_of_text|>"
    template = processors.TemplateProcessing(
        single=f"{begin} $A",
        pair=f"{begin} $A {begin}:1 $B:1",
        special_tokens=[(begin, tokenizer.token_to_id(begin))],
    )
    byte_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.post_processor = processors.Sequence([byte_processor, template])
    return tokenizer


def qwen():
    names = ["endoftext", "im_start", "im_end"]
    thoughts = [plain("<think>", normalized=False), plain("</think>", normalized=False)]
    tokenizer = train(
        pre_tokenizers.Sequence([split(QWEN), byte_level(trim_offsets=False)]),
        normalizer=normalizers.NFC(),
        last=thoughts + [special(f"<|{name}|>") for name in names],
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def with_spaced_merges(text):
    """The same file with its merges in the older spelling, "a b"."""
    data = json.loads(text)
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def variants(base):
    """Parts of tokenizer.json that replace those of the qwen one: what no family above uses."""
    sequences = {
        "byte_level_prefix_space": [byte_level(add_prefix_space=True, use_regex=True)],
        "prefix_space_after_split": [split(r"\d+"), byte_level(add_prefix_space=True)],
        "digits_together": [pre_tokenizers.Digits(individual_digits=False), byte_level()],
        "digits_apart": [pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)],
        "split_string_removed": [split("a.", "removed", regex=False), byte_level()],
        "split_string_space": [split(" ", "merged_with_next", regex=False), byte_level()],
        "split_merged_with_previous": [split(r"[\s,]", "merged_with_previous"), byte_level()],
        "split_merged_with_next": [split(r"[\s,]", "merged_with_next"), byte_level()],
        "split_contiguous": [split(r"[\s,]", "contiguous"), byte_level()],
        "split_invert": [split(r"\p{L}+", "removed", invert=True), byte_level()],
        "split_empty_matches": [split(r"x*"), byte_level()],
        "split_space_removed": [split(r"\s", "removed"), byte_level()],
        "split_not_space": [split(r"[\S]+|\S\s+"), byte_level()],
        "cased_words": [split(CASED), byte_level()],
        "three_splits": [split(r"\p{N}{1,3}"), split(r"[\p{P}\p{S}]?\p{L}+|\p{Z}+"), byte_level()],
    }
    for name, stages in sequences.items():
        yield name, {"pre_tokenizer": json.loads(pre_tokenizers.Sequence(stages).__getstate__())}
    flags = [
        plain("<mask>", lstrip=True, rstrip=True, normalized=False),
        plain("word", single_word=True, normalized=False),
        plain("cafe\u0301", normalized=True, single_word=True),
        plain("<s>", lstrip=True, normalized=True),
        special("</s>", rstrip=True),
        special("<|endoftext|>"),
        special("<|endoftext|><|endoftext|>"),
    ]
    tokenizer = Tokenizer.from_str(base)
    tokenizer.add_tokens([t for t in flags if not t.special])
    tokenizer.add_special_tokens([t for t in flags if t.special])
    yield "added_token_flags", {"added_tokens": json.loads(tokenizer.to_str())["added_tokens"]}


def llama2_style(bpe):
    """tiny-llama as the tokenizer.json of Llama-2 has it: a mark before every stretch."""
    tokenizer = Tokenizer(bpe)
    prepend, mark = normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")
    tokenizer.normalizer = normalizers.Sequence([prepend, mark])
    tokenizer.add_special_tokens([special("<unk>"), special("<s>"), special("</s>")])
    return tokenizer


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def golden(tokenizer, texts=True):
    front = tokenizer.encode("a").ids[: -len(ids_of(tokenizer, "a"))]
    entry = {"bos": front[0] if front else None, "hard": [ids_of(tokenizer, s) for s in HARD]}
    if texts:
        entry["texts"] = {}
        for name in TEXTS:
            file = ROOT / f"datasets/corpora/{name}.txt"
            ids = ids_of(tokenizer, file.read_bytes().decode("utf-8"))
            digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
            entry["texts"][name] = {"count": len(ids), "sha256": digest, "first16": ids[:16]}
    return entry


def main():
    print("tokenizers", tokenizers.__version__, "transformers", transformers.__version__)
    entries = {}
    folder = str(ROOT / "model/checkpoints/tiny-llama")
    slow = transformers.LlamaTokenizer.from_pretrained(folder).backend_tokenizer
    entries["tiny-llama"] = golden(llama2_style(slow.model))
    entries["tiny-llama"]["bos"] = 1  # LlamaTokenizer's own default; a model alone has no template
    entries["tiny-llama legacy=false"] = golden(slow, texts=False)
    neox = Tokenizer.from_file(str(ROOT / "model/checkpoints/tiny-neox/tokenizer.json"))
    entries["tiny-neox"] = golden(neox)
    made = {"gpt-neox": gpt_neox(), "llama-3": llama3(), "qwen": qwen()}
    for name, tokenizer in made.items():
        text = tokenizer.to_str(pretty=False)
        (HERE / name).mkdir(exist_ok=True)
        spelled = with_spaced_merges(text) if name == "gpt-neox" else text
        (HERE / name / "tokenizer.json").write_text(spelled + "\n", encoding="utf-8")
        entries[name] = golden(Tokenizer.from_str(spelled))
    base = made["qwen"].to_str()
    for name, patch in variants(base):
        patched = Tokenizer.from_str(json.dumps({**json.loads(base), **patch}))
        entries[f"qwen {name}"] = {"patch": patch, **golden(patched, texts=False)}
    versions = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    strings = ",\n".join(json.dumps(s) for s in HARD)
    body = ",\n".join(lines)
    text = f'{{"versions": {json.dumps(versions)},\n"hard": [\n{strings}],\n"tokenizers": {{\n{body}\n}}}}\n'
    json.loads(text)
    (HERE / "goldens.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
