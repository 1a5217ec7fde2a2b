"""The Stack Exchange sites of the sample: two as ``<site>.7z``, one unpacked as ``<site>/Posts.xml``.

Raw form: a byte order mark, an XML line, ``<posts>``, one ``<row .../>`` a line with CRLF, ``</posts>`` without a line
end. Attributes that do not apply are absent; Body is escaped HTML with ``&#xA;`` for its line ends.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from redpajama_data.errors import MissingModel
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.stackexchange_posts import SITES, other_file, posts_xml

PLANTED: tuple[Planted, ...] = (
    Planted("tag wiki with a raw line end inside an attribute: one row, without a title", 1, "no_title"),
    Planted("row with a raw control character", 1, "malformed"),
    Planted("row with an unescaped <", 1, "malformed"),
    Planted("posts of type 4 and 5 (tag wikis) without a title", 4, "no_title"),
    Planted("answers whose question is not there", 3, "orphan_answer"),
    Planted("question with scores 9, 85, 100, 10, 0, -5, -1, stored in another order", 1, ""),
    Planted("question without an answer", 3, ""),
    Planted("title with HTML in it (List<String>)", 1, ""),
    Planted(
        "code blocks, lists in lists, line breaks, entities, a comment and a script, white space between tags", 4, ""
    ),
    Planted("answer stored before its question", 1, ""),
    Planted("tag wiki with an answer's ParentId: taken for an answer, as published", 1, ""),
)

_MOMENT = 1_678_147_200  # 2023-03-07T00:00:00Z


def pack(path: Path, files: dict[str, bytes]) -> None:
    """Write a .7z with ``files`` (name, content), all of one modification time, so that its bytes do not change.

    Raises :class:`MissingModel` without py7zr.
    """
    try:
        import py7zr
    except ImportError as error:
        raise MissingModel("Writing the .7z files of the sample needs py7zr. Install: pip install py7zr") from error
    filters = [{"id": py7zr.FILTER_LZMA2, "preset": 1}]
    with tempfile.TemporaryDirectory() as loose, py7zr.SevenZipFile(path, "w", filters=filters) as archive:
        for name, content in files.items():
            member = Path(loose, name)
            member.write_bytes(content)
            member.chmod(0o644)
            os.utime(member, (_MOMENT, _MOMENT))
            archive.write(member, name)


def build(folder: Path) -> None:
    """Write ``<site>.7z`` for two sites and ``<site>/Posts.xml`` for the third into ``folder``."""
    for site, packed in SITES.items():
        posts = posts_xml(site)
        if packed:
            others = {
                f"{name}.xml": other_file(site, name) for name in ("Badges", "Comments", "Tags", "Users", "Votes")
            }
            pack(folder / f"{site}.7z", {"Badges.xml": others.pop("Badges.xml"), "Posts.xml": posts, **others})
        else:
            (folder / site).mkdir()
            (folder / site / "Posts.xml").write_bytes(posts)
