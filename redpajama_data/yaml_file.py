"""A YAML file of a user: its data and the line of each key, with bounds on what a short file can ask for."""

from __future__ import annotations

from typing import Any

import yaml

from redpajama_data.errors import UsageError

_CHARS_MAX = 1 << 18  # the published run's has 3,000; PyYAML takes 2 s for these
_DEPTH_MAX, _KEYS_MAX = 20, 100_000  # levels, and keys at all of them


def read_yaml(path: str) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """The data of a YAML file, and the line of each key path. No tag makes anything but plain data.

    Raises :class:`UsageError`, with the line where there is one, for what cannot be read or passes a bound.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_CHARS_MAX + 1)
        if len(text) > _CHARS_MAX:
            raise UsageError(f"{path}: longer than a configuration can be ({_CHARS_MAX:,} characters). Check --config.")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[tuple[str, ...], int] = {}
        _note_lines(node, (), lines, path)  # before values are made: older PyYAMLs merge what aliases repeat
        data = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Check --config.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not YAML: {error}. Save it in UTF-8.") from error
    except ValueError as error:  # a zero byte in the path, a day that is none
        raise UsageError(f"{path!r}: {error}. Check --config.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if data is None:
        return {}, {}
    if not isinstance(data, dict):
        raise UsageError(f"{path}:1: expected keys and values, found a {type(data).__name__}.")
    return data, lines


def _note_lines(node: Any, at: tuple[str, ...], lines: dict[tuple[str, ...], int], path: str) -> None:
    if len(at) > _DEPTH_MAX or len(lines) > _KEYS_MAX:  # aliases can make a short file endless
        raise UsageError(f"{path}: too many levels or keys for a configuration. Check --config.")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{path}:{key.start_mark.line + 1}: a key is a name, not a list or keys. Check it.")
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
