"""Addresses without what grants access: the name stays the same for the same object, and nothing else is lost."""

from __future__ import annotations

import pytest

from redpajama_data.errors import UsageError
from redpajama_data.io import credentials
from redpajama_data.io.credentials import address_of, admit, admit_all, name_of, shown

S3 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F1&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-SignedHeaders=host"


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_known", {})


NAMES = [  # address, its name
    ("http://user:word@host/a/x.gz", "http://host/a/x.gz"),
    ("https://token@host/x.gz", "https://host/x.gz"),
    (f"https://b.s3.host/x.gz?{S3}&X-Amz-Signature=ab12", "https://b.s3.host/x.gz"),
    (f"https://host/x.gz?versionId=3&{S3}&X-Amz-Signature=a", "https://host/x.gz?versionId=3"),
    ("https://host/x.gz?AWSAccessKeyId=AKIA&Expires=17&Signature=ab%3D", "https://host/x.gz"),
    ("https://host/x.gz?X-Goog-Signature=a&X-Goog-Date=1&generation=5", "https://host/x.gz?generation=5"),
    ("https://acc.blob.host/c/x.gz?sv=2022&se=2023&sr=b&sp=r&sig=ab%3D", "https://acc.blob.host/c/x.gz"),
    ("https://host/x.gz?Policy=p&Signature=s&Key-Pair-Id=k", "https://host/x.gz"),
    ("https://host/get?file=a.gz&access_token=t", "https://host/get?file=a.gz"),
    ("https://host/x.gz?key=abc", "https://host/x.gz"),
    ("sftp://user:word@host/raw", "sftp://user@host/raw"),
    # what is no secret stays
    ("https://host/x.gz", "https://host/x.gz"),
    ("https://host/x.gz?versionId=3", "https://host/x.gz?versionId=3"),
    ("https://host/x.gz?se=1&design=2&monkey=3", "https://host/x.gz?se=1&design=2&monkey=3"),
    ("https://host/a@b/x.gz?", "https://host/a@b/x.gz?"),
    ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
    ("s3://bucket/github_?.gz", "s3://bucket/github_?.gz"),
    ("raw/x?token=1", "raw/x?token=1"),
    ("file:///raw/x?token=1", "file:///raw/x?token=1"),
]


@pytest.mark.parametrize(("address", "name"), NAMES)
def test_a_name_has_what_chooses_the_object_and_nothing_that_lets_in(address: str, name: str) -> None:
    assert name_of(address) == name
    assert name_of(name) == name
    assert admit(address) == name
    assert address_of(name) == address


def test_the_user_of_a_folder_is_that_of_its_files_and_of_no_others() -> None:
    admit("https://user:word@host/raw/github_*.gz?")
    admit("https://host/raw/y.gz?sig=1")
    assert address_of("https://host/raw/x.gz") == "https://user:word@host/raw/x.gz"
    assert address_of("https://host/raw/y.gz") == "https://host/raw/y.gz?sig=1"
    assert address_of("https://host/other/x.gz") == "https://host/other/x.gz"
    assert address_of("https://host2/raw/x.gz") == "https://host2/raw/x.gz"
    assert address_of("http://host/raw/x.gz") == "http://host/raw/x.gz"


def test_what_another_process_knows_is_forgotten_after_its_task() -> None:
    with credentials.knowing({"https://host/x": "https://u:p@host/x"}):
        assert address_of("https://host/x") == "https://u:p@host/x"
    assert address_of("https://host/x") == "https://host/x"
    assert credentials.known() == {}


def test_two_addresses_of_one_name_are_refused_and_the_same_one_twice_is_not() -> None:
    assert admit_all(["https://h/x?sig=1", "https://h/x?sig=1", "y"]) == ("https://h/x", "y")
    with pytest.raises(UsageError, match=r"^https://h/x is given twice, with other signatures.*Give it once"):
        admit_all(["https://h/x?sig=1", "https://h/x?sig=2"])
    assert admit_all(["https://h/x?sig=2"]) == ("https://h/x",)  # a later run, with a new signature
    assert address_of("https://h/x") == "https://h/x?sig=2"


def test_a_message_shows_no_secret() -> None:
    text = "cannot read http://u:p@h/x and https://h/y?a=1&X-Amz-Signature=ab&b=2 (AccessDenied)"
    assert shown(text) == "cannot read http://h/x and https://h/y?a=1&X-Amz-Signature=...&b=2 (AccessDenied)"
