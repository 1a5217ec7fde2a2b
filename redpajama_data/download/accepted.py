"""Which licences a user accepted for what is fetched, and when: a record for whoever asks later under what terms."""

from __future__ import annotations

import datetime
from collections.abc import Collection

import msgspec

from redpajama_data.download.plan import Licence, Plan, folder
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.lock import hold

ACCEPTED = "accepted.jsonl"  # in <to>/<slice>/_download


class Accepted(msgspec.Struct, frozen=True):
    """A licence as it was shown, the version of the source that it was accepted for, and when (UTC)."""

    licence: str
    address: str
    text: str
    version: str
    time: str

    def speaks_of(self, licence: Licence, version: str) -> bool:
        """True when it was the same terms for the same version."""
        return (self.licence, self.address, self.text, self.version) == (*_terms(licence), version)


def note(plan: Plan, to: str, names: Collection[str]) -> None:
    """Record that the licences of these names were accepted for a plan below ``to``: those that ask for it, each once
    for a version.

    Raises :class:`StorageError`, :class:`RootInUse` while somebody fetches there, and as :func:`load`."""
    accepted = [licence for licence in plan.licences if licence.accept and licence.name in names]
    if not accepted:
        return
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    with hold(folder(to, plan.slice)):
        before = load(to, plan.slice)
        new = [
            Accepted(*_terms(licence), plan.version, now)
            for licence in accepted
            if not any(each.speaks_of(licence, plan.version) for each in before)
        ]
        if new:
            storage.write_bytes(_path(to, plan.slice), msgspec.json.Encoder().encode_lines([*before, *new]))


def load(to: str, slice_name: str) -> list[Accepted]:
    """What was accepted for a slice below ``to``, the first first. Raises :class:`UsageError` for a damaged record."""
    data = storage.read_bytes(_path(to, slice_name)) or b""
    try:
        return msgspec.json.Decoder(Accepted).decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{_path(to, slice_name)}: damaged ({error}). Move it away, then accept again.") from error


def _terms(licence: Licence) -> tuple[str, str, str]:
    return licence.name, licence.address, licence.text


def _path(to: str, slice_name: str) -> str:
    return storage.join(folder(to, slice_name), ACCEPTED)
