"""Trains a small model of GPT-NeoX's shape on what ``rpj tokenize`` wrote, and draws how its loss falls.

python scripts/train_proxy.py ROOT --out DIR [--steps 300]     needs torch: pip install 'redpajama-data[train]'

The proof that a trainer can learn from the files, and no more: at this size a seed moves the loss further than any
repair of the data does. ROOT is of the formats megatron or uint, with documents held out. Every window of a sequence
is read once, in an order drawn by the seed; documents follow each other in it. Steps are fixed, not seconds: the same
files, seed and threads give the same curve.

Writes ``curve.json`` (model, data, loss by step) and ``curve.svg``. Two losses to compare with: of the uniform guess,
and of the best guess that looks at no token before (the frequencies of the tokens trained on). Exit status 1 when the
loss on held-out windows did not fall below the second.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)
from train_proxy_picture import picture

VALIDATE_EVERY, VALIDATE_WINDOWS = 25, 32


@dataclass(frozen=True)
class Shape:
    """A model: GPT-NeoX as the INCITE models have it (rotary of the whole head, no parallel residual, untied)."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    sequence: int


class Block(nn.Module):
    """A layer: attention, then a feed-forward network of four times the width."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(shape.hidden), nn.LayerNorm(shape.hidden)
        self.query_key_value = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.dense = nn.Linear(shape.hidden, shape.hidden)
        self.up, self.down = nn.Linear(shape.hidden, 4 * shape.hidden), nn.Linear(4 * shape.hidden, shape.hidden)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """One layer more of ``x`` (batch, sequence, hidden)."""
        batch, length, hidden = x.shape
        joined = self.query_key_value(self.before_attention(x))
        parts = joined.view(batch, length, self.heads, 3, hidden // self.heads).permute(3, 0, 2, 1, 4)
        query, key, value = rotated(parts[0], cos, sin), rotated(parts[1], cos, sin), parts[2]
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.dense(seen.transpose(1, 2).reshape(batch, length, hidden))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class NeoX(nn.Module):
    """Tokens to the scores of the next one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_in = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = nn.LayerNorm(shape.hidden)
        self.embed_out = nn.Linear(shape.hidden, shape.vocabulary, bias=False)
        half = shape.hidden // shape.heads // 2
        angles = torch.outer(torch.arange(shape.sequence), 10_000.0 ** (-torch.arange(half) / half)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        small, wang = math.sqrt(2 / (5 * shape.hidden)), 2 / shape.layers / math.sqrt(shape.hidden)
        for name, weight in self.named_parameters():  # GPT-NeoX's small_init and wang_init
            if weight.dim() > 1:
                nn.init.normal_(weight, std=wang if name.endswith(("dense.weight", "down.weight")) else small)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The scores of every next token."""
        x = self.embed_in(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        scores: torch.Tensor = self.embed_out(self.final_norm(x))
        return scores


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Queries or keys with their place in the sequence as an angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


# ------------------------------------------------------------------------------------------------ the data


def prefixes(root: Path, report: dict[str, Any], held_out: bool) -> list[np.ndarray[Any, Any]]:
    """The ids of each prefix, mapped from its file. Exits when the format is another or there is none."""
    ending = {"megatron": ".bin", "uint": ".ds"}.get(report["format"])
    if ending is None:
        sys.exit(f"{root} has the format {report['format']}: this reads --format megatron or uint.")
    named = [part["name"] for part in report["prefixes"] if part["held_out"] is held_out and part["tokens"]]
    if not named:
        sys.exit(f"{root} has no tokens {'held out: --held-out 0.02' if held_out else 'to train on'}.")
    return [np.memmap(root / "tokenize" / f"{name}{ending}", report["dtype"], "r") for name in named]


class Windows:
    """Windows of a sequence and the token behind it, of all prefixes, in an order drawn by the seed."""

    def __init__(self, arrays: list[np.ndarray[Any, Any]], length: int, seed: int) -> None:
        self.arrays, self.length = arrays, length
        places = [(at, start) for at, ids in enumerate(arrays) for start in range(0, len(ids) - length, length)]
        self.order = [places[i] for i in np.random.default_rng(seed).permutation(len(places))]

    def batch(self, first: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``size`` windows and what follows each token of them."""
        rows = [self.arrays[at][start : start + self.length + 1] for at, start in self.order[first : first + size]]
        ids = torch.from_numpy(np.stack(rows).astype(np.int64))
        return ids[:, :-1], ids[:, 1:]


def blind_loss(train: list[np.ndarray[Any, Any]], held: Windows, windows: int, vocabulary: int) -> float:
    """The loss, on the held-out windows, of the frequencies that the tokens trained on have."""
    counts = 1 + sum(np.bincount(ids, minlength=vocabulary) for ids in train)
    _, wanted = held.batch(0, windows)
    return float(-np.log(counts / counts.sum())[wanted.numpy()].mean())


# ------------------------------------------------------------------------------------------------ training


def loss_of(model: NeoX, ids: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean loss of a token, in nats."""
    return F.cross_entropy(model(ids).flatten(0, 1), wanted.flatten())


@torch.no_grad()
def validate(model: NeoX, held: Windows, batch: int) -> float:
    """Mean loss on the first held-out windows."""
    sizes = range(0, min(VALIDATE_WINDOWS, len(held.order)), batch)
    losses = [(len(ids), loss_of(model, ids, wanted).item()) for ids, wanted in (held.batch(i, batch) for i in sizes)]
    return sum(size * loss for size, loss in losses) / sum(size for size, _ in losses)


def rate_at(step: int, steps: int, peak: float) -> float:
    """Learning rate: up over a tenth of the steps, then down by a cosine to a tenth."""
    warm = max(1, steps // 10)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.55 + 0.45 * math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train(model: NeoX, data: Windows, held: Windows, given: argparse.Namespace) -> list[dict[str, float]]:
    """Train, and give the points of the curve: step, tokens, loss trained on, loss held out."""
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    rest = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=given.rate, betas=(0.9, 0.95), eps=1e-8)
    points = [{"step": 0, "tokens": 0, "held_out": validate(model, held, given.batch)}]
    losses: list[float] = []
    for step in range(given.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, given.steps, given.rate)
        loss = loss_of(model, *data.batch(step * given.batch, given.batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % VALIDATE_EVERY == 0 or step + 1 == given.steps:
            tokens = (step + 1) * given.batch * given.sequence
            trained = sum(losses) / len(losses)
            points.append(
                {"step": step + 1, "tokens": tokens, "trained": trained, "held_out": validate(model, held, given.batch)}
            )
            print(
                f"step {step + 1:5}  {tokens:10,} tokens  {trained:.3f} trained  {points[-1]['held_out']:.3f} held out"
            )
            losses = []
    return points


def main(given: argparse.Namespace) -> int:
    """Train and write the curve; 0 when the model has learnt from what is before a token."""
    torch.manual_seed(given.seed)
    torch.set_num_threads(given.threads)
    report = json.loads((given.root / "tokenize" / "tokens.json").read_text())
    shape = Shape(-(-report["vocabulary"] // 128) * 128, given.hidden, given.layers, given.heads, given.sequence)
    ids = prefixes(given.root, report, False)
    data, held = (
        Windows(ids, given.sequence, given.seed),
        Windows(prefixes(given.root, report, True), given.sequence, 0),
    )
    if not held.order:
        sys.exit(f"{given.root}: what is held out is shorter than a sequence. Hold out more, or give --sequence.")
    if given.steps * given.batch > len(data.order):
        sys.exit(f"{given.root} has {len(data.order)} windows: {len(data.order) // given.batch} steps at most.")
    model = NeoX(shape)
    blind = blind_loss(ids, held, VALIDATE_WINDOWS, report["vocabulary"])
    began = time.monotonic()
    points = train(model, data, held, given)
    found = {
        "shape": asdict(shape) | {"weights": sum(weight.numel() for weight in model.parameters())},
        "data": {key: report[key] for key in ("format", "tokenizer", "seed", "end")},
        "tokens_there": sum(map(len, ids)),
        "training": {key: getattr(given, key) for key in ("steps", "batch", "rate", "seed", "threads")},
        "seconds": round(time.monotonic() - began, 1),
        "torch": torch.__version__,
        "uniform": math.log(report["vocabulary"]),
        "blind": blind,
        "points": points,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "curve.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "curve.svg").write_text(picture(found))
    first, last = points[0]["held_out"], points[-1]["held_out"]
    print(f"loss on held-out windows: {first:.3f} at the start, {last:.3f} at the end; blind {blind:.3f}")
    print(f"{given.out / 'curve.json'} and curve.svg are written, {found['seconds']} s")
    return 0 if last < blind else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="ROOT", help="--root of rpj tokenize")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the curve goes")
    for name, value in {"steps": 300, "batch": 8, "sequence": 512, "hidden": 128, "layers": 4, "heads": 4}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate at its highest; default: 0.002")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    sys.exit(main(parser.parse_args()))
