"""Configuration: a YAML file and ``--set key=value``, strictly validated against the models of the run and of each
slice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from redpajama_data.errors import UsageError
from redpajama_data.yaml_file import read_yaml

_SHOWN_MAX = 300  # characters of a wrong value in a message
STALL_MINUTES = 15.0  # no task is taken for hung before: the slowest real shard, a dump of 60 GB aside, takes 10
_SECTIONS = ("slices", "jobs", "download", "addresses")  # of a file; --set cannot give them
_COUNT = re.compile(r"^\s*(\d{1,30}(?:\.\d{1,30})?)\s*([KMBT]?)\s*$", re.IGNORECASE)
_SIZE = re.compile(r"^\s*(\d{1,30}(?:\.\d{1,30})?)\s*([KMGT]?)(?:i?B)?\s*$", re.IGNORECASE)


def _scaled(value: object, form: re.Pattern[str], units: str, base: int, expected: str) -> int:
    """A whole number, or one before a unit: the first of ``units`` is 1, each of the others ``base`` times the last."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = form.match(str(value))
    if not match:
        raise ValueError(f"expected {expected}")
    return int(Decimal(match[1]) * base ** units.index(match[2].upper() or " "))


def parse_size(value: object) -> int:
    """Bytes from ``600M``, ``2 GiB`` or a number; K, M, G, T are powers of 1024. Raises ValueError."""
    return _scaled(value, _SIZE, " KMGT", 1024, "a size such as 600M or 4G")


def parse_count(value: object) -> int:
    """A number from ``800B``, ``1.4T`` or a number; K, M, B, T are powers of 1000. Raises ValueError."""
    return _scaled(value, _COUNT, " KMBT", 1000, "a number such as 800B or 1.4T")


def split_list(value: object) -> object:
    """``en,de`` or a list, as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def plain_name(value: str) -> str:
    """A name that a file can have, and that JSON can hold. Raises ValueError."""
    if "\0" in value:
        raise ValueError("no file has a zero byte in its name")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("expected a name in UTF-8: rename it") from error
    return value


Size = Annotated[int, BeforeValidator(parse_size)]
Count = Annotated[int, BeforeValidator(parse_count)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_list)]


class SliceSettings(BaseModel):
    """What every slice can be told; a slice's own model adds its thresholds with the published values as defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Names = Field((), description="raw files: paths, URLs, globs or folders")
    source_shards: int | None = Field(None, gt=0, description="raw files of the whole source, for projected totals")


class RunConfig(BaseModel):
    """A run. Every field can stand in the YAML file, most have an option of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: Annotated[str, AfterValidator(plain_name)] | None = Field(
        None, description="where the run writes: a path or URL"
    )
    workers: int | None = Field(None, gt=0, description="tasks at once on a machine; default: all cores")
    memory: Size = Field(4 << 30, ge=64 << 20, description="memory of all workers together, as 4G")
    executor: str = Field("local", pattern="^(serial|local|ray)$", description="serial, local or ray")
    address: str | None = Field(None, description="address of a Ray cluster")
    stall: float = Field(
        STALL_MINUTES,
        ge=0,
        description="minutes that a task may take at least before it is taken for hung (attempts.py); 0: it never is",
    )
    tokenizer: Annotated[str, AfterValidator(plain_name)] = Field(
        "gpt-neox-20b", description="name or path of the tokenizer that counts the published tokens"
    )
    zstd_level: int = Field(3, ge=1, le=19, description="zstd level of published shards")
    max_malformed: float = Field(
        0.05, ge=0, le=1, description="share of malformed records above which a shard is quarantined"
    )
    retry_broken: bool = Field(False, description="do the tasks of damaged raw files again")
    recipe: str = Field(
        "published",
        pattern="^(published|corrected)$",
        description="published: as RedPajama-Data-1T was made; corrected: with all repairs (rpj help repairs)",
    )
    addresses: dict[str, str] = Field(
        default_factory=dict, description="hosts of raw files and models, each with the address that is asked for it"
    )
    download: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="what `rpj download` selects of each slice, as its options name it"
    )
    slices: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings of each slice")
    jobs: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="jobs over every slice, in the order they run, with their settings"
    )


Model = TypeVar("Model", bound=BaseModel)
Settings = TypeVar("Settings", bound=SliceSettings)


def load_config(path: str | None, overrides: Mapping[str, Any]) -> RunConfig:
    """The run's configuration: the YAML file at ``path`` (if any), with ``overrides`` (None is no override) over it.

    Raises :class:`UsageError` that names the key, the line and what was expected.
    """
    data: dict[str, Any] = {}
    lines: dict[tuple[str, ...], int] = {}
    if path is not None:
        data, lines = read_yaml(path)
        _validate(RunConfig, data, path, lines, (), strict=True)
    data.update({key: value for key, value in overrides.items() if value is not None})
    return _validate(RunConfig, data, "command line", {}, ())


def slice_settings(
    model: type[Settings], name: str, config: RunConfig, overrides: Mapping[str, Any], path: str | None
) -> Settings:
    """One slice's settings: what the configuration file has under ``slices: <name>:``, with ``--set`` over it; of a
    job what it has under ``jobs: <name>:``. Under the recipe ``corrected`` a slice that says nothing else has all of
    its repairs.

    Raises :class:`UsageError` as :func:`load_config`.
    """
    lines = read_yaml(path)[1] if path is not None else {}
    section = "jobs" if name in config.jobs else "slices"
    data = getattr(config, section).get(name, {})
    _validate(model, data, path or "", lines, (section, name), strict=True)
    if config.recipe == "corrected" and "repairs" in model.model_fields:
        data = {"repairs": "all", **data}
    return _validate(model, {**data, **overrides}, f"--set for {name}", {}, ())


def read_model(model: type[Model], path: str) -> Model:
    """A YAML file as the model says, strictly. Raises :class:`UsageError` as :func:`load_config`."""
    data, lines = read_yaml(path)
    return _validate(model, data, path, lines, (), strict=True)


def parse_sets(sets: Sequence[str]) -> dict[str, str]:
    """``--set key=value`` of the command line, by key. Raises :class:`UsageError` for one without a value."""
    for item in sets:
        if "=" not in item:
            raise UsageError(f"--set {item}: expected key=value.")
    return {key: value for key, _, value in (item.partition("=") for item in sets)}


def split_settings(
    settings: Mapping[str, Any], slices: Mapping[str, type[SliceSettings]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings by key, as run settings and the settings of each chosen slice.

    ``slice.key`` is for one slice, ``key`` for every chosen slice that has it, else for the run. Raises
    :class:`UsageError` for a key that nothing has.
    """
    run: dict[str, Any] = {}
    of_slice: dict[str, dict[str, Any]] = {name: {} for name in slices}
    for key, value in settings.items():
        scope, dot, inner = key.partition(".")
        if dot and scope in slices:
            of_slice[scope][inner] = value
            continue
        takers = [name for name, model in slices.items() if key in model.model_fields]
        for name in takers:
            of_slice[name][key] = value
        if not takers:
            if key not in RunConfig.model_fields or key in _SECTIONS:
                known = sorted({field for model in slices.values() for field in model.model_fields} - {"input"})
                raise UsageError(
                    f"--set {key}: no such setting. Known here: {', '.join(known)}, max_malformed, zstd_level."
                )
            run[key] = value
    return run, of_slice


def _shown(value: object) -> str:
    """A value as Python writes it, cut where a message would have no end."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}... ({len(text):,} characters)"


def _validate(
    model: type[Model],
    data: Mapping[str, Any],
    where: str,
    lines: Mapping[tuple[str, ...], int],
    at: tuple[str, ...],
    strict: bool = False,  # a YAML file has types; the command line has only strings
) -> Model:
    try:
        return model.model_validate(dict(data), strict=strict)
    except ValidationError as error:
        messages = []
        for problem in error.errors():
            place = (*at, *(str(part) for part in problem["loc"]))
            line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
            spot = f"{where}:{line}" if line else where
            if problem["type"] == "extra_forbidden":
                expected = f"no such key; known: {', '.join(model.model_fields)}"
            else:
                expected = f"{problem['msg'].removeprefix('Value error, ')}, found {_shown(problem['input'])}"
            messages.append(f"{spot}: {'.'.join(place)}: {expected}")
        raise UsageError("\n".join(messages)) from error
