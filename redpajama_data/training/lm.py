"""CCNet's perplexity models for one language: a SentencePiece unigram model and a 5-gram KenLM on its pieces.

Method: CCNet (Wenzek et al. 2019) trains both on the normalised opening texts of a Wikipedia, one document a line:
SentencePiece unigram with 65,536 pieces and a character coverage of 0.9995, then KenLM with modified Kneser-Ney,
order 5, without pruning. Everything that could make two runs differ is fixed, so the same texts in the same order
give the same bytes (with the same releases of sentencepiece and kenlm).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Literal

from redpajama_data.errors import MissingModel, RpjError, UsageError
from redpajama_data.io.storage import TMP_MARK, is_remote, join, local
from redpajama_data.training.texts import publish, read_texts

DOCUMENTS = 1_000_000  # CCNet: the first million documents
VOCABULARY = 65_536
COVERAGE = 0.9995  # of the characters; the rest becomes <unk>
LONGEST = 4192  # bytes: SentencePiece's default, which CCNet left: longer documents train KenLM but not SentencePiece
ORDER = 5
_BATCH = 1000  # documents encoded at a time

Structure = Literal["probing", "trie"]


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """What was trained: where it is, on how many documents, and how many of them were too long for SentencePiece."""

    sentencepiece: str
    kenlm: str
    documents: int
    too_long: int

    def render(self) -> str:
        """Three lines for a person."""
        skipped = f" ({self.too_long} longer than {LONGEST} bytes trained KenLM only)" if self.too_long else ""
        return f"{self.documents} documents{skipped}\n{self.sentencepiece}\n{self.kenlm}"


def kenlm_tool(name: str, folder: str | None = None) -> str:
    """The path of ``lmplz`` or ``build_binary``: in ``folder`` when given, else beside this Python, else on PATH.

    Raises :class:`MissingModel` saying how to build it.
    """
    beside = os.path.dirname(sys.executable)
    tool = shutil.which(name, path=folder) if folder else shutil.which(name, path=beside) or shutil.which(name)
    if tool is None:
        place = f"in {folder}" if folder else f"on PATH or in {beside}"
        raise MissingModel(
            f"{name} not found {place}. It is part of KenLM and no package ships it: build it with "
            "scripts/build_kenlm.sh (90 s; it says what it needs), then run again, "
            "or name the folder that holds it with --kenlm-bin."
        )
    return tool


def train_lm(
    files: Sequence[str],
    out: str,
    language: str,
    *,
    normalize: Callable[[str], str],
    vocabulary: int = VOCABULARY,
    documents: int = DOCUMENTS,
    memory: str = "2G",
    structure: Structure = "probing",
    kenlm_bin: str | None = None,
) -> LanguageModel:
    """Train ``<out>/<language>.sp.model`` and ``<out>/<language>.arpa.bin`` on the first ``documents`` of ``files``.

    ``files`` are read in the given order (:func:`read_texts`); ``normalize`` is CCNet's and deletes line breaks, so
    that every document is one line. ``memory`` bounds KenLM's sorting (``2G``, ``50%``); SentencePiece holds the
    documents themselves in memory. ``structure``: KenLM's ``probing`` as CCNet has it, or the quantised ``trie``, 5-6
    times smaller.

    Raises :class:`UsageError` when the texts are too few for ``vocabulary`` (naming the largest that works),
    :class:`MissingModel` without KenLM's programs, :class:`BrokenInput` for a file that cannot be read.
    """
    lmplz, build_binary = kenlm_tool("lmplz", kenlm_bin), kenlm_tool("build_binary", kenlm_bin)
    if not is_remote(out):
        os.makedirs(local(out), exist_ok=True)
    # Beside the result: an ARPA file is several times the size of its text, for which /tmp is often too small.
    with tempfile.TemporaryDirectory(
        prefix=f"{language}{TMP_MARK}", dir=None if is_remote(out) else local(out)
    ) as work:
        corpus, model, arpa, binary = (os.path.join(work, n) for n in ("corpus.txt", "sp.model", "arpa", "arpa.bin"))
        count, too_long = _write_corpus(files, corpus, normalize, documents)
        if not count:
            raise UsageError("the text files hold no text to train on. Give others with --text.")
        proto = train_sentencepiece(corpus, vocabulary=vocabulary)
        with open(model, "wb") as file:
            file.write(proto)
        _train_kenlm(lmplz, _pieces(corpus, proto), arpa, work, memory)
        _build(build_binary, arpa, binary, work, structure, memory)
        result = LanguageModel(join(out, f"{language}.sp.model"), join(out, f"{language}.arpa.bin"), count, too_long)
        publish(model, result.sentencepiece)
        publish(binary, result.kenlm)
    return result


def _write_corpus(files: Sequence[str], path: str, normalize: Callable[[str], str], limit: int) -> tuple[int, int]:
    """Write the normalised documents, one a line; returns how many, and how many are longer than LONGEST bytes."""
    count = too_long = 0
    with open(path, "wb") as corpus:
        normalised = (normalize(text) for file in files for text in read_texts(file))
        for text in islice(filter(None, normalised), limit):
            line = text.encode("utf-8", "replace")  # a lone surrogate, which JSON can spell, becomes "?"
            corpus.write(line + b"\n")
            count += 1
            too_long += len(line) > LONGEST
    return count, too_long


def _corpus(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield line.removesuffix("\n")


def train_sentencepiece(corpus: str, *, vocabulary: int) -> bytes:
    """The SentencePiece unigram model (serialised) of a local text file with one normalised document a line.

    One thread, because two give another model; and the texts come from an iterator, because the name of an input file
    would be written into the model.

    Raises :class:`UsageError` when the corpus cannot fill ``vocabulary`` pieces, naming the largest number that it can.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_corpus(corpus),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocabulary,
            character_coverage=COVERAGE,
            max_sentence_length=LONGEST,
            hard_vocab_limit=True,
            shuffle_input_sentence=False,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        message = str(error)
        if largest := re.search(r"too high \(\d+\)\. Please set it to a value <= (\d+)", message):
            raise UsageError(
                f"these texts are too few for a vocabulary of {vocabulary} pieces. "
                f"Give more text, or --vocab-size {largest[1]} (the largest that they can fill)."
            ) from error
        if "sentences_.empty" in message:
            raise UsageError(
                f"every document is longer than {LONGEST} bytes, so SentencePiece has nothing to train on. "
                "Give shorter documents, such as opening paragraphs."
            ) from error
        raise UsageError(
            f"SentencePiece cannot train on these texts: {message} Change --vocab-size or --text."
        ) from error
    return model.getvalue()


def _pieces(corpus: str, proto: bytes) -> Iterator[bytes]:
    """The corpus as SentencePiece pieces with blanks between them, a document a line, some documents at a time."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
    lines = _corpus(corpus)
    while batch := list(islice(lines, _BATCH)):
        encoded = processor.encode(batch, out_type=str, num_threads=1)
        yield "".join(" ".join(pieces) + "\n" for pieces in encoded).encode()


def _train_kenlm(lmplz: str, pieces: Iterator[bytes], arpa: str, work: str, memory: str) -> None:
    command = [lmplz, "-o", str(ORDER), "-S", memory, "-T", os.path.join(work, "lmplz")]
    command += ["--vocab_estimate", str(VOCABULARY), "--discount_fallback"]
    # A text may spell "<s>", and a piece may then be just that; lmplz stops there unless told to take it for a blank.
    command += ["--skip_symbols"]
    with open(arpa, "wb") as out, tempfile.TemporaryFile(dir=work) as log:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=log) as process:
            assert process.stdin is not None
            # When lmplz stops early, its message says more than the broken pipe.
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                for batch in pieces:
                    stdin.write(batch)
        _check(process.returncode, "lmplz", log, memory)


def _build(build_binary: str, arpa: str, binary: str, work: str, structure: Structure, memory: str) -> None:
    # Quantisation and pointer compression in the measure that CCNet's makers published beside their probing models.
    quantised = ["-S", memory, "-a", "22", "-q", "8", "-b", "8"] if structure == "trie" else []
    command = [build_binary, "-T", os.path.join(work, "build"), *quantised, structure, arpa, binary]
    with tempfile.TemporaryFile(dir=work) as log:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        _check(result.returncode, "build_binary", log, memory)


def _check(code: int, program: str, log: IO[bytes], memory: str) -> None:
    if code == 0:
        return
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 2000))
    lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    last = " ".join(lines[-3:]) or "no message"
    raise RpjError(
        f"{program} ended with {code}: {last} Check the free disk space beside --out "
        f"and the memory (--memory, now {memory}), then run again."
    )
