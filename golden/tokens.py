"""Compares tokens: varied texts through `gyrus tokenize` and through the peer that defines each kind of vocabulary.

    python golden/tokens.py GYRUS MODEL...
    python golden/tokens.py --texts texts.jsonl
    python golden/tokens.py --golden crates/gyrus-language/tests/golden/tokens.json

A `.gguf` file is read by llama.cpp (`llama-cpp-python`), a folder or `tokenizer.json` by `transformers` (`tokenizers`), a llama2c
file by `sentencepiece` with the `.model` given by `--sentencepiece`. llama.cpp's own test files beside a vocabulary
(`NAME.gguf.inp`, `.out`) are compared as well. Exits with 1 if a text has other tokens.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

WORDS = "the of and to in is you that it he was for on are as with his they at be this have from or one had by word".split()


def texts():
    """249 varied texts, always the same."""
    fixed = [
        "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\t\n", "\r\n", "\r\n\r\n", " \n ", "\u00a0", "\u3000", "\u200b", "\ufeff",
        "Hello world", " Hello world", "Hello  world", "Hello   World!", "Hello, y'all! How are you 😁 ?",
        "Hello, world! I'm can't won't they're we've I'd he'll IT'S DON'T", "this is 🦙.cpp", "w048 7tuijk dsdfhu",
        "нещо на Български", "កាន់តែពិសេសអាចខលចេញ", "🚀 (normal) 😶‍🌫️ (multiple emojis concatenated) ✅ (only emoji that has its own token)",
        "1", "12", "123", "1234", "12345", "123456789", "3.14159", "1,000,000.00", "0x1F", "1e-10", "٠١٢٣", "½ ² ₃ Ⅷ",
        "!", "!!", "!!!", "...", "…", "--", "—", "«»", "“quoted”", "‘single’", "a-b_c/d\\e|f", "(((nested)))", "[x]{y}<z>",
        "def f(x):\n    return x + 1\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "    if x:\n        y\n\n\n    z",
        "SELECT * FROM users WHERE name = 'O''Brien';", "<html>\n  <body class=\"a\">&amp;</body>\n</html>", "{\"a\": [1, 2, {\"b\": null}]}",
        "import numpy as np\nx = np.zeros((3, 4), dtype=np.float32)  # comment", "#!/bin/sh\necho \"$HOME\" && ls -la | grep '^d'", "a = b ? c : d;",
        "https://example.org/path?q=1&r=%20#frag", "user.name+tag@example.co.uk", "C:\\Windows\\System32", "v1.2.3-rc.4+build5", "snake_case camelCase PascalCase SCREAMING_SNAKE",
        "世界", "你好，世界！", "这是一个测试。 这是第二句。", "日本語のテキスト、カタカナとひらがな。", "東京タワーは333メートルです", "한국어 텍스트입니다.", "안녕하세요 세계", "中文English混排123数字",
        "ภาษาไทยไม่มีช่องว่าง", "नमस्ते दुनिया", "مرحبا بالعالم", "שלום עולם", "Ελληνικά και ελληνικά", "Привет, мир!", "ქართული ენა", "Tiếng Việt có dấu", "čeština žluťoučký kůň", "İstanbul ıI iİ", "ß ẞ ſ ﬁ ﬂ",
        "😀", "😀😀😀", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "❤️ ❤", "☃ ☕ ♻️", "a😀b", "🏳️‍🌈 flag",
        "e\u0301 é", "n\u0303 ñ", "a\u0300\u0316\u0317", "Z\u0351\u036b\u0343\u036a\u0302", "\u1100\u1161\u11a8 각", "Å \u212b A\u030a", "ﷺ", "\u0930\u094d\u0915",
        "\x00", "a\x00b", "\x01\x02\x03", "\x1b[31mred\x1b[0m", "\x7f", "a\x0bb\x0cc", "\u0085\u2028\u2029", "\ufffd", "\ue000", "\U000e0041", "\U0010ffff", "\u202eright", "soft\u00adhyphen", "zero\u200dwidth\u200cjoin",
        "<s>", "</s>", "<unk>", "<pad>", "<|endoftext|>", "<|im_start|>user\nhi<|im_end|>\n", "<bos><start_of_turn>user\nhi<end_of_turn>\n", "[INST] hi [/INST]", "<s>[INST] hi [/INST] ok</s>", "<|user|>\nhi<|end|>\n<|assistant|>\n", "<|begin_of_text|>x<|eot_id|>",
        "[CLS] a [SEP] [MASK]", "a<s>b", "< s >", "<|endoftext", "<0x0A>", "<0xE4>", "▁", "▁▁a", "a▁b", "Ġa", "Ċ", "##ing", "@@", "<tool>a", "a <tool> b", "[keep]", "<tag>x</tag>",
        "a" * 100, "ab" * 200, "A" * 64 + "b" * 64, "x" * 1000, "Donaudampfschifffahrtsgesellschaftskapitän", "pneumonoultramicroscopicsilicovolcanoconiosis", "ACGT" * 100, "0" * 200, "=" * 80, "-" * 79 + "\n", " " * 50 + "end", "end" + " " * 50, "\n" * 20 + "x", "\t" * 10 + "x", "a\tb\tc", "a \t \n b", "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \nx",
        "word " * 50, "one.two.three", "What's up?It's fine.Isn't it?", "e.g. i.e. etc. U.S.A. Ph.D.", "¿Qué? ¡Sí!", "naïve café résumé coöperate", "A.B.C", "end.", "end. ", " .", " ,", "\"", "'", "''", "'s", " 's", "'S 'T 'Re 'VE 'm 'LL 'D", "can’t won’t", "x'y", "don't.", "100%", "$5.00 €10 £3 ¥100", "#hashtag @mention", "~`^*", "3×4÷2±1≠≤∞", "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "→←↑↓", "│├─┤", "α≤β", "H₂O", "x²+y²=z²", "ⅷ ⑧ 八", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝒶𝓃𝒸𝓎", "ℌℍ", "ꙮ", "𐍈𐌰", "𓀀𓂀", "가나다라", "ａｂｃ １２３", "ｶﾀｶﾅ",
    ]
    dice = random.Random(12)
    pools = [WORDS, ["世", "界", "語", "の", "は"], ["😀", "🚀", "👍🏽"], ["é", "e\u0301", "ß"], [" ", "  ", "\n", "\t", "\r\n"], ["0", "12", "345"], list(".,;:!?'\"-()[]{}<>/\\|@#$%^&*_+=~`"), ["мир", "γη", "عالم"], ["<s>", "</s>", "<unk>"]]
    while len(fixed) < 249:
        parts = [dice.choice(dice.choice(pools)) + (" " if dice.random() < 0.4 else "") for _ in range(dice.randint(3, 60))]
        fixed.append("".join(parts))
    return fixed[:249]


def ours(gyrus, model, all_texts):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in all_texts))
        out = subprocess.run([gyrus, "tokenize", model, "--file", file, "--ids"], capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{model}: {out.stderr}")
    return [[int(token) for token in line.split()] for line in out.stdout.split("\n")[:-1]]


def peer(model, sentencepiece):
    """The name of a peer, and its function from a text to tokens."""
    path = Path(model)
    if path.suffix == ".gguf":
        from llama_cpp import Llama

        llama = Llama(model, vocab_only=True, verbose=False)
        return "llama.cpp", lambda text: llama.tokenize(text.encode(), add_bos=False, special=True)
    if path.suffix in (".bin", ".model"):
        from sentencepiece import SentencePieceProcessor

        processor = SentencePieceProcessor(model_file=sentencepiece or model)
        return "sentencepiece", processor.encode
    if path.suffix == ".json":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(model)
        return "tokenizers", lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    return "transformers", lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


def compare(name, all_texts, mine, theirs):
    wrong = [(text, a, b) for text, a, b in zip(all_texts, mine, theirs, strict=True) if a != b]
    print(f"{name}: {len(all_texts) - len(wrong)} of {len(all_texts)} texts have the same tokens")
    for text, a, b in wrong[:30]:
        print(f"  {text[:60]!r}\n    ours   {a[:24]}\n    theirs {b[:24]}")
    return not wrong


def golden(out):
    """A small vocabulary of SentencePiece with user-defined tokens of white space, and llama.cpp's tokens of short texts."""
    import gguf
    from llama_cpp import Llama

    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    pieces += [(text, -1000.0, 4) for text in ("\n", "\n\n", "\t", "  ", "    ", "<tag>", " <tool>", "[keep]")]
    words = ["\u2581", *"abcdefghijklmnopqrstuvwxyz", "\u2581a", "th", "he", "the", "\u2581the", "\u2581\u2581", "in", "er", "\u2581t", "l", "ll", "llo", "hello"]
    words += ["<", ">", "[", "]", ".", ",", "世", "界", "世界", "é"]
    pieces += [(text, -float(rank), 1) for rank, text in enumerate(dict.fromkeys(words), 1)]
    chosen = [text for text in texts() if 0 < len(text) < 40 and "\0" not in text][::2]
    vocabularies = []
    for space in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "vocabulary.gguf")
            writer = gguf.GGUFWriter(path, "llama")
            writer.add_context_length(64), writer.add_embedding_length(8), writer.add_block_count(1), writer.add_feed_forward_length(8)
            writer.add_head_count(1), writer.add_layer_norm_rms_eps(1e-5), writer.add_rope_dimension_count(8)
            writer.add_tokenizer_model("llama"), writer.add_token_list([text for text, _, _ in pieces])
            writer.add_token_scores([score for _, score, _ in pieces]), writer.add_token_types([kind for _, _, kind in pieces])
            writer.add_bos_token_id(1), writer.add_eos_token_id(2), writer.add_unk_token_id(0), writer.add_add_space_prefix(space)
            writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
            llama = Llama(path, vocab_only=True, verbose=False)
            ids = [llama.tokenize(text.encode(), add_bos=False, special=True) for text in chosen]
        vocabularies.append({"add_space_prefix": space, "ids": ids})
    whole = {"pieces": pieces, "texts": chosen, "vocabularies": vocabularies}
    Path(out).write_text(json.dumps(whole, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("gyrus", nargs="?")
    arguments.add_argument("models", nargs="*")
    arguments.add_argument("--texts")
    arguments.add_argument("--sentencepiece")
    arguments.add_argument("--golden", help="write the golden file of crates/gyrus-language/tests")
    arguments.add_argument("--own", action="store_true", help="only llama.cpp's own test files, which need no peer")
    given = arguments.parse_args()
    if given.texts:
        Path(given.texts).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()))
        return
    if given.golden:
        return golden(given.golden)
    same = True
    for model in given.models:
        if Path(model + ".inp").is_file():
            own = Path(model + ".inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
            lines = Path(model + ".out").read_text().split("\n")[: len(own)]
            theirs = [[int(token) for token in line.split()] for line in lines]
            same &= compare(f"{Path(model).name}, llama.cpp's own tests", own, ours(given.gyrus, model, own), theirs)
        if not given.own:
            name, encode = peer(model, given.sentencepiece)
            all_texts = texts()
            if name == "sentencepiece":
                # It never reads names of special tokens in a text; llama.cpp and transformers do, and so do we.
                special = ("<s>", "</s>", "<unk>")
                all_texts = [text for text in all_texts if not any(token in text for token in special)]
            if name == "llama.cpp":
                # Where a tokenizer.json composes characters (NFC), llama.cpp does not; and it takes `</s>` for a special token
                # in every vocabulary that has such a text. We do as transformers does: these texts are compared composed,
                # and without that name.
                plain = [text for text in all_texts if list(encode(text)) != list(encode(unicodedata.normalize("NFC", text)))]
                marked = [text for text in all_texts if "</s>" in text]
                whole = ours(given.gyrus, model, all_texts)
                ends = all(a == list(encode(text)) for text, a in zip(all_texts, whole) if text in marked)
                composes = any(a != list(encode(text)) for text, a in zip(all_texts, whole) if text in plain)
                if composes:
                    all_texts = [unicodedata.normalize("NFC", text) for text in all_texts]
                if not ends:
                    all_texts = [text for text in all_texts if "</s>" not in text]
                if composes or not ends:
                    print(f"  {model}: compared as composed texts: {composes}; without `</s>`: {not ends}")
            mine = ours(given.gyrus, model, all_texts)
            same &= compare(f"{model}, {name}", all_texts, mine, [list(encode(text)) for text in all_texts])
    sys.exit(not same)


if __name__ == "__main__":
    main()
