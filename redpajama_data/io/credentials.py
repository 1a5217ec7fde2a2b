"""Addresses without what grants access: their names, which are kept and shown, and the addresses themselves, which are
not.

``https://user:word@host/x.gz?X-Amz-Signature=ab`` is named ``https://host/x.gz``. Everything that is written or printed
has the name: lists of inputs, receipts, ids, lineage, messages. The address is known to the processes of the run alone,
in memory, and :func:`address_of` gives it to whoever opens the file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from redpajama_data.errors import UsageError

# On the web all before the @ lets somebody in (a token, a user and a password), elsewhere what comes after a colon.
_USER = re.compile(r"(https?://)[^/\s@?#'\"]*@|(?<=://)([^/\s@?#'\":]*):[^/\s@?#'\"]*(@)", re.IGNORECASE)
_SECRET = re.compile(
    r"([?&;][^=&;#\s'\"]*(?:token|sign|\bsig|key|secret|passw|credential|auth|policy|ticket|session)[^=&;#\s'\"]*=)"
    r"[^&;#\s'\"]*",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?", re.DOTALL)
_WEB = ("http", "https")
_GLOB = re.compile(r"[*?\[]")
# Names of a query's values that let somebody in, by their words: sig, Signature, api_key, AWSAccessKeyId, X-Amz-...
_GRANTS = re.compile(
    r"(?:^|[-_.])(?:access[-_]?)?(?:token|jwt|sig|signature|key|apikey|secret|pass|passwd|password|pwd|credentials?|"
    r"auth|authorization|policy|ticket|session|sid)(?:$|[-_.])|^(?:awsaccesskeyid|googleaccessid|accesskeyid|"
    r"accesskey|accesstoken|authtoken|sessionid|secretkey)$|^x-(?:amz|goog|ms|oss|cos)-",
    re.IGNORECASE,
)
# What stands beside a signature and changes with it: S3, Google (Expires, response-*), Azure (se, sv ...), SDKs (x-id).
_WITH_A_GRANT = re.compile(
    r"^(?:expires?|exp|st|se|sp|sv|sr|ss|srt|spr|sip|sdd|sk[a-z]{1,3}|x-id|response-[a-z-]+|hmac|hash|nonce|ts|"
    r"timestamp)$",
    re.IGNORECASE,
)
_known: dict[str, str] = {}  # of this process: name -> address, of what was given with a secret


def shown(text: str) -> str:
    """A text with the addresses in it as they may be shown: without a user's name and password, and without the values
    that grant access in a query. Two addresses that differ only by such name one file."""
    return _SECRET.sub(r"\1...", _USER.sub(r"\1\2\3", text))


def name_of(address: str) -> str:
    """The name of an address: without user and password, and without a signature and what belongs to it. Whatever is no
    address is its own name.

    A query without a secret stays: it may choose the object. A user without a password stays where the scheme is not
    that of the web: ``abfs://container@account/``.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None or parts[1] == "file":
        return address
    scheme, place, path, query, rest = parts[1], parts[2], parts[3], parts[4], parts[5] or ""
    user, _, host = place.rpartition("@")
    if user and scheme.lower() not in _WEB:
        host = f"{user.partition(':')[0]}@{host}"
    if query is not None and scheme.lower() in _WEB:
        query = _without_grants(query)
    return f"{scheme}://{host}{path}{'' if query is None else f'?{query}'}{rest}"


def _without_grants(query: str) -> str | None:
    """The values of a query that say which object it is; None when nothing is left."""
    values = [value for value in query.split("&") if value]
    names = [unquote(value.partition("=")[0]) for value in values]
    if not any(map(_GRANTS.search, names)):
        return query
    kept = [v for v, n in zip(values, names, strict=True) if not (_GRANTS.search(n) or _WITH_A_GRANT.search(n))]
    return "&".join(kept) or None


def admit(address: str) -> str:
    """The name of an address that somebody gave; from now on :func:`address_of` knows what it is the name of."""
    name = name_of(address)
    if name != address:
        _known[name] = address
    return name


def admit_all(addresses: Iterable[str]) -> tuple[str, ...]:
    """The names of addresses, each once. Raises :class:`UsageError` for two that differ only in what grants access:
    whether they are one file, nobody can tell."""
    found: dict[str, str] = {}
    for address in addresses:
        name = admit(address)
        if found.setdefault(name, address) != address:
            raise UsageError(
                f"{name} is given twice, with other signatures or passwords. Give it once; if they are two files, "
                "fetch them (rpj download, curl) and give the folder."
            )
    return tuple(found)


def address_of(name: str) -> str:
    """What is really asked for a name: what :func:`admit` was given, or the name with the user and password that were
    given for its folder."""
    if not _known or "://" not in name:
        return name
    if name in _known:
        return _known[name]
    users = {given: user for given, address in _known.items() if (user := _user_of(address))}
    given = max((given for given in users if name.startswith(_folder(given))), key=len, default=None)
    if given is None:
        return name
    scheme, _, rest = name.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{users[given]}@{host.rpartition('@')[2]}{slash}{path}"


def _user_of(address: str) -> str:
    """User and password of an address, as they stand there."""
    parts = _ADDRESS.fullmatch(address)
    return parts[2].rpartition("@")[0] if parts else ""


def _folder(name: str) -> str:
    """The folder that a name is of: up to the last slash before a query or the first mark of a glob."""
    scheme, _, rest = name.partition("://")
    marked = _GLOB.search(rest)
    rest = rest[: marked.start()] if marked else rest
    return f"{scheme}://{rest.rpartition('/')[0] or rest}/"


def known() -> dict[str, str]:
    """All that was admitted, for the memory of another process."""
    return dict(_known)


@contextlib.contextmanager
def knowing(addresses: Mapping[str, str]) -> Iterator[None]:
    """Within the block also what another process has admitted is known."""
    before = dict(_known)
    _known.update(addresses)
    try:
        yield
    finally:
        _known.clear()
        _known.update(before)
