"""Trains a small tokenizer on the published texts of a root, for the proxy model of scripts/train_proxy.py.

python scripts/small_tokenizer.py ROOT --out small.json [--vocabulary 8192]     needs: pip install tokenizers

Of a model of three million weights GPT-NeoX's vocabulary of 50,277 would be most of the weights and of the work. Byte
pairs as GPT-NeoX has them: NFC, no space put before a text, ``<|endoftext|>`` is id 0. The same texts give the same
file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import redpajama_data


def texts(root: str, limit: int) -> Iterator[str]:
    """The published texts of a root, each up to ``limit`` characters."""
    for document in redpajama_data.open(root):
        yield document.text[:limit]


def train(root: str, vocabulary: int, limit: int) -> str:
    """A tokenizer.json of that many ids."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(root, limit), trainer)
    return str(tokenizer.to_str(pretty=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", metavar="ROOT", help="root of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--vocabulary", type=int, default=8192, help="ids; default: 8192")
    parser.add_argument("--limit", type=int, default=20_000, help="characters of each text; default: 20000")
    chosen = parser.parse_args()
    chosen.out.write_text(train(chosen.root, chosen.vocabulary, chosen.limit) + "\n", encoding="utf-8")
