"""What texts say of persons and machines that nobody should learn by heart: e-mail and IP addresses, telephone numbers,
keys. And the literal ``<|endoftext|>``, which a tokenizer takes for the end of a document.

Found by expressions that never go back (google-re2), then looked at again by a library that knows the kind. The rules
are data: :data:`RULES`, and those of the job's settings.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from redpajama_data.errors import UsageError


@dataclass(frozen=True)
class Rule:
    """``kind`` names what is found, ``pattern`` (syntax of re2) where it may stand, ``mask`` is put in its place, and
    ``check`` is the name of a further look in :data:`CHECKS`, or empty."""

    kind: str
    pattern: str
    mask: str
    check: str = ""


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_KEYS = (
    r"AKIA[0-9A-Z]{16}",  # Amazon
    r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82}",
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"xox[abprs]-[0-9A-Za-z-]{10,250}",  # Slack
    r"[sr]k_live_[0-9A-Za-z]{24,99}",  # Stripe
    r"npm_[A-Za-z0-9]{36}|hf_[A-Za-z]{34}|glpat-[A-Za-z0-9_-]{20}",
)
RULES: tuple[Rule, ...] = (
    Rule(
        "email",
        r"\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
        "[email]",
        "not_an_example",
    ),
    Rule(
        "ip",
        rf"\b{_OCTET}(?:\.{_OCTET}){{3}}\b|\b(?:[0-9A-Fa-f]{{1,4}}:){{7}}[0-9A-Fa-f]{{1,4}}\b",
        "[ip]",
        "public_ip",
    ),
    Rule("phone", r"\+[0-9](?:[ ().-]{0,2}[0-9]){6,14}\b", "[phone]", "valid_phone"),
    Rule("key", rf"\b(?:{'|'.join(_KEYS)})\b", "[key]"),
    Rule("key", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?-----END [A-Z ]{0,40}PRIVATE KEY-----", "[key]"),
    Rule("end_of_text", r"<\|(?:endoftext|padding)\|>", "<| end of text |>"),
)
KINDS = tuple(dict.fromkeys(rule.kind for rule in RULES))
LEAST_OCTET = 30  # one number of an IPv4 address is at least this
# Names that stand for no one (RFC 2606), and what ssh writes for a repository.
_EXAMPLES = ("example.com", "example.org", "example.net", ".example", ".test", ".invalid", ".localhost")
_NO_PERSONS = ("git@", "hg@", "svn@")


def not_an_example(found: str, before: str, after: str) -> bool:
    """An address that may be somebody's."""
    return not (found.lower().endswith(_EXAMPLES) or found.startswith(_NO_PERSONS))


def public_ip(found: str, before: str, after: str) -> bool:
    """An address of the open Internet, and no version or number of a section: those have small numbers throughout, of
    random addresses one in 5,000 (:data:`LEAST_OCTET`)."""
    if ":" not in found and max(map(int, found.split("."))) < LEAST_OCTET:
        return False
    if before in (".", "-", "v", "V") or after[:1] == "-" or (after[:1] == "." and after[1:2].isdigit()):
        return False
    return ipaddress.ip_address(found).is_global


def valid_phone(found: str, before: str, after: str) -> bool:
    """A number that exists in the plan of its country (libphonenumber)."""
    import phonenumbers  # half a second: only where a text has such digits

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(found)))
    except phonenumbers.NumberParseException:
        return False


CHECKS: dict[str, Callable[[str, str, str], bool]] = {
    "not_an_example": not_an_example,
    "public_ip": public_ip,
    "valid_phone": valid_phone,
}


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)


def check_pattern(pattern: str) -> None:
    """Raise :class:`UsageError` for an expression that re2 cannot read, or that matches nothing at all."""
    try:
        empty = _compiled(pattern).search("") is not None
    except re2.error as error:
        raise UsageError(f"pattern {pattern!r}: {error}. Its syntax is that of re2: no look-around.") from error
    if empty:
        raise UsageError(f"pattern {pattern!r} is found in an empty text. Give one that needs a character.")


def chosen(kinds: Iterable[str], more: Iterable[Rule] = ()) -> tuple[Rule, ...]:
    """The rules of some kinds, with further ones. Raises :class:`UsageError` for a kind that no rule finds."""
    every = (*RULES, *more)
    known = dict.fromkeys(rule.kind for rule in every)
    wanted = set(kinds)
    if wrong := sorted(wanted - set(known)):
        raise UsageError(f"kinds: {wrong[0]!r} is none. There are {', '.join(known)}.")
    return tuple(rule for rule in every if rule.kind in wanted)


def masked(text: str, rules: Sequence[Rule]) -> tuple[str, dict[str, int]]:
    """``text`` with what the rules find replaced by their masks, and how many of each kind there were."""
    counts: dict[str, int] = {}
    for rule in rules:
        parts: list[str] = []
        done = 0
        for match in _compiled(rule.pattern).finditer(text):
            begin, end = match.span()
            check = CHECKS.get(rule.check)
            if check is not None and not check(text[begin:end], text[max(0, begin - 1) : begin], text[end : end + 2]):
                continue
            counts[rule.kind] = counts.get(rule.kind, 0) + 1
            parts += [text[done:begin], rule.mask]
            done = end
        if parts:
            text = "".join([*parts, text[done:]])
    return text, counts
