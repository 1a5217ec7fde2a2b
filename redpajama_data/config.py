"""Configuration: a YAML file and ``--set key=value``, strictly validated against the models of the run and of each
slice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from redpajama_data.errors import UsageError

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$", re.IGNORECASE)


def parse_size(value: object) -> int:
    """Bytes from ``600M``, ``2 GiB`` or a number; K, M, G, T are powers of 1024. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.match(str(value))
    if not match:
        raise ValueError("expected a size such as 600M or 4G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def split_list(value: object) -> object:
    """``en,de`` or a list, as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


Size = Annotated[int, BeforeValidator(parse_size)]
Names = Annotated[tuple[str, ...], BeforeValidator(split_list)]


class SliceSettings(BaseModel):
    """What every slice can be told; a slice's own model adds its thresholds with the published values as defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Names = Field((), description="raw files: paths, URLs, globs or folders")
    source_shards: int | None = Field(None, gt=0, description="raw files of the whole source, for projected totals")


class RunConfig(BaseModel):
    """A run. Every field can stand in the YAML file, most have an option of the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str | None = Field(None, description="where the run writes: a path or URL")
    workers: int | None = Field(None, gt=0, description="tasks at once; default: all cores")
    memory: Size = Field(4 << 30, ge=64 << 20, description="memory of all workers together, as 4G")
    executor: str = Field("local", pattern="^(serial|local|ray)$", description="serial, local or ray")
    address: str | None = Field(None, description="address of a Ray cluster")
    tokenizer: str = Field("gpt-neox-20b", description="name or path of the tokenizer that counts the published tokens")
    zstd_level: int = Field(3, ge=1, le=19, description="zstd level of published shards")
    max_malformed: float = Field(0.5, ge=0, le=1, description="share of malformed records that quarantines a shard")
    slices: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings of each slice")
    shared: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="stages over every slice, in the order they run, with their settings"
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
        data, lines = _read_yaml(path)
        _validate(RunConfig, data, path, lines, (), strict=True)
    data.update({key: value for key, value in overrides.items() if value is not None})
    return _validate(RunConfig, data, "command line", {}, ())


def slice_settings(
    model: type[Settings], name: str, config: RunConfig, overrides: Mapping[str, Any], path: str | None
) -> Settings:
    """One slice's settings: what the configuration file has under ``slices: <name>:``, with ``--set`` over it; of a
    shared stage what it has under ``shared: <name>:``.

    Raises :class:`UsageError` as :func:`load_config`.
    """
    lines = _read_yaml(path)[1] if path is not None else {}
    section = "shared" if name in config.shared else "slices"
    data = getattr(config, section).get(name, {})
    _validate(model, data, path or "", lines, (section, name), strict=True)
    return _validate(model, {**data, **overrides}, f"--set for {name}", {}, ())


def split_sets(
    sets: Sequence[str], slices: Mapping[str, type[SliceSettings]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """``--set key=value`` of the command line, as run settings and the settings of each chosen slice.

    ``slice.key=value`` is for one slice, ``key=value`` for every chosen slice that has the key, else for the run.
    Raises :class:`UsageError` for a key that nothing has.
    """
    run: dict[str, Any] = {}
    of_slice: dict[str, dict[str, Any]] = {name: {} for name in slices}
    for item in sets:
        key, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"--set {item}: expected key=value.")
        scope, dot, inner = key.partition(".")
        if dot and scope in slices:
            of_slice[scope][inner] = value
            continue
        takers = [name for name, model in slices.items() if key in model.model_fields]
        for name in takers:
            of_slice[name][key] = value
        if not takers:
            if key not in RunConfig.model_fields or key in ("slices", "shared"):
                known = sorted({field for model in slices.values() for field in model.model_fields} - {"input"})
                raise UsageError(
                    f"--set {key}: no such setting. Known here: {', '.join(known)}, max_malformed, zstd_level."
                )
            run[key] = value
    return run, of_slice


def _read_yaml(path: str) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """The data of a YAML file, and the line of each key path."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Check --config.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        raise UsageError(f"{path}:1: expected keys and values, found a {type(data).__name__}.")
    lines: dict[tuple[str, ...], int] = {}
    _note_lines(node, (), lines, path)
    return data, lines


def _note_lines(node: Any, at: tuple[str, ...], lines: dict[tuple[str, ...], int], path: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*at, str(key.value))
            if place in lines:
                raise UsageError(f"{path}:{key.start_mark.line + 1}: {'.'.join(place)} stands there twice. Remove one.")
            lines[place] = key.start_mark.line + 1
            _note_lines(value, place, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            place = (*at, str(i))
            lines[place] = value.start_mark.line + 1
            _note_lines(value, place, lines, path)


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
                expected = f"{problem['msg'].removeprefix('Value error, ')}, found {problem['input']!r}"
            messages.append(f"{spot}: {'.'.join(place)}: {expected}")
        raise UsageError("\n".join(messages)) from error
