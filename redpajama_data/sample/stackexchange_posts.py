"""Posts of invented Stack Exchange sites, as rows of their dumps."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from redpajama_data.sample.lexicon import WORLDS, World
from redpajama_data.sample.programs import BY_NAME, program
from redpajama_data.sample.prose import WEB, Chance, fill, paragraph, plural, with_article

SITES = {
    "allotment.stackexchange.com": True,
    "allotment.meta.stackexchange.com": True,
    "signals.stackexchange.com": False,
}
"""Site and whether it comes packed."""
ODD_SITE = "allotment.stackexchange.com"  # the one with what is planted

_WORLDS = dict(zip(SITES, ("garden", "school", "railway"), strict=True))
_QUESTIONS = {
    "allotment.stackexchange.com": 60,
    "allotment.meta.stackexchange.com": 14,
    "signals.stackexchange.com": 30,
}
_TITLES = (
    "How do I keep @AN@ from becoming @b@?",
    "Is @AN@ still safe when it has been @v@ twice?",
    "Why are @ns@ always @a@ in winter?",
    "What is the difference between @AN@ and a @b@ @m@?",
    "Can I use one @m@ for several @ns@?",
    "Script to count @ns@ fails on the second @m@",
)
_COMPARED = ("9", "10", "-5", "100", "0", "85", "-1")  # as published, sorted as strings: 9 85 100 10 0 -5 -1

Row = dict[str, str]


def row_line(row: Row) -> str:
    """The row element. Line ends inside an attribute are character references."""
    entities = {'"': "&quot;", "\n": "&#xA;", "\r": "&#xD;", "\t": "&#x9;"}
    return "  <row " + " ".join(f'{name}="{escape(value, entities)}"' for name, value in row.items()) + " />"


def body(chance: Chance, world: World) -> str:
    """HTML of one to four blocks, as the site renders Markdown."""
    blocks = []
    for _ in range(chance.between(1, 3)):
        text = escape(paragraph(chance, world, WEB, 1, 4))
        noun = chance.pick(world.nouns)
        blocks.append(f"<p>{text.replace(noun, f'<em>{noun}</em>', 1)}</p>\n")
    extra = chance.below(6)
    if extra == 0:
        items = "".join(f"<li>{noun}</li>\n" for noun in chance.some(world.nouns, 3))
        tag = chance.pick(("ul", "ol"))
        blocks.append(f"<{tag}>\n{items}</{tag}>\n")
    elif extra == 1:
        code = escape(program(chance, BY_NAME[chance.pick(("Python", "Shell", "JavaScript"))]).content)
        blocks.append(f"<pre><code>{code}</code></pre>\n")
    elif extra == 2:
        blocks.append(f"<blockquote>\n  <p>{escape(paragraph(chance, world, WEB, 1, 1))}</p>\n</blockquote>\n")
    elif extra == 3:
        blocks.append(
            f'<p>See <a href="https://{chance.pick(world.nouns)}.example/" rel="nofollow">this page</a>.</p>\n'
        )
    return "\n".join(blocks)


def _moment(chance: Chance) -> str:
    clock = f"{chance.below(24):02d}:{chance.below(60):02d}:{chance.below(60):02d}.{chance.below(1000):03d}"
    return f"20{chance.between(11, 22)}-{chance.between(1, 12):02d}-{chance.between(1, 28):02d}T{clock}"


def question(chance: Chance, world: World, title: str = "", text: str = "", score: str = "") -> Row:
    """A question without its Id."""
    noun, other = chance.some([noun for noun in world.nouns if noun.isalpha()], 2)
    words = {"AN": with_article(noun), "ns": plural(noun), "m": other, "v": chance.pick(world.verbs)}
    words |= {"a": chance.pick(world.adjectives), "b": chance.pick(world.adjectives)}
    moment = _moment(chance)
    return {
        "PostTypeId": "1",
        "CreationDate": moment,
        "Score": score or str(chance.between(-3, 40)),
        "ViewCount": str(chance.between(20, 9000)),
        "Body": text or body(chance, world),
        "OwnerUserId": str(chance.between(1, 90)),
        "LastActivityDate": moment,
        "Title": title or fill(chance.pick(_TITLES), words),
        "Tags": f"<{noun}><{other}>",
        "AnswerCount": "1",
        "CommentCount": str(chance.below(5)),
        "ContentLicense": "CC BY-SA 4.0",
    }


def answer(chance: Chance, world: World, score: str = "", text: str = "") -> Row:
    """An answer without its Id and ParentId."""
    moment = _moment(chance)
    return {
        "PostTypeId": "2",
        "CreationDate": moment,
        "Score": score or str(chance.between(-2, 60)),
        "Body": text or body(chance, world),
        "OwnerUserId": str(chance.between(1, 90)),
        "LastActivityDate": moment,
        "CommentCount": str(chance.below(3)),
        "ContentLicense": "CC BY-SA 4.0",
    }


def wiki(chance: Chance, kind: str, text: str) -> Row:
    """A tag's description (type 5) or its excerpt (type 4): no Title."""
    return {"PostTypeId": kind, "CreationDate": _moment(chance), "Score": "0", "Body": text, "OwnerUserId": "-1"}


def odd_threads(chance: Chance, world: World) -> Iterator[list[Row]]:
    """Threads that show how a page becomes text: a question and its answers."""
    compared = [answer(chance, world, score, f"<p>An answer of score {score}.</p>\n") for score in _COMPARED]
    yield [question(chance, world, "Which answer comes first?"), *compared]
    for number in range(3):
        yield [question(chance, world, f"Unanswered question number {number + 1}")]
    yield [question(chance, world, "Sorting a List<String> of names & dates"), answer(chance, world)]
    listed = "<ol>\n<li>first<ul>\n<li>inner</li>\n</ul></li>\n<li>second</li>\n</ol>\n<LI>upper case</LI>"
    yield [question(chance, world, "Lists in lists", listed), answer(chance, world)]
    code = "<pre><code>for (i = 0; i &lt; 3; i++)\n\n    print(&quot;a&quot;);\n</code></pre>\n\n"
    code += "<p>one<br>two<br/>three</p>"
    yield [question(chance, world, "Code and line breaks", code), answer(chance, world, text=code)]
    hidden = "<p>Seen.<!-- not seen --></p>\n\n  <script>var x = 1;</script>\n"
    hidden += "<p>&copy; &nbsp;&hellip; &unknown; caf\u00e9</p>"
    yield [question(chance, world, "Hidden parts", hidden), answer(chance, world)]
    spaced = "\n\n  <p> first </p>   <p>second</p>\t\n<hr>\n<table>\n<tr><td>a</td> <td>b</td></tr>\n</table>"
    yield [question(chance, world, "White space between tags", spaced), answer(chance, world)]


def threads(chance: Chance, site: str) -> list[Row]:
    """All rows of a site with their Ids, in order of Id."""
    world = WORLDS[_WORLDS[site]]
    groups = []
    for _ in range(_QUESTIONS[site]):
        groups.append([question(chance, world), *(answer(chance, world) for _ in range(chance.between(1, 4)))])
    if site == ODD_SITE:
        groups += odd_threads(chance, world)
    rows: list[Row] = []
    for group in groups:
        number = len(rows) + 1
        for at, row in enumerate(group):
            link = {"ParentId": str(number)} if at else {}
            if not at and len(group) > 1:
                link = {"AcceptedAnswerId": str(number + 1)}
            rows.append({"Id": str(number + at), "PostTypeId": row.pop("PostTypeId"), **link, **row})
        rows[number - 1]["AnswerCount"] = str(len(group) - 1)
    if site == ODD_SITE:
        last = len(rows)
        for number in range(3):
            place = {"Id": str(last + 1 + number), "PostTypeId": "2", "ParentId": str(900_000 + number)}
            rows.append(place | answer(chance, world))
        for number, kind in enumerate(("5", "4", "5", "4")):
            text = "" if number < 2 else "About plants that are tied to a trellis."
            rows.append({"Id": str(last + 4 + number), **wiki(chance, kind, text)})
        rows.append(
            {"Id": str(last + 8), "ParentId": "1", **wiki(chance, "5", "<p>A wiki that hangs on a question.</p>")}
        )
    return rows


def _file(tag: str, lines: list[str]) -> bytes:
    return (
        "\ufeff" + "\r\n".join(['<?xml version="1.0" encoding="utf-8"?>', f"<{tag}>", *lines, f"</{tag}>"])
    ).encode()


def posts_xml(site: str) -> bytes:
    """Posts.xml of a site; the first site has its bad rows here."""
    chance = Chance(f"site {site}")
    rows = threads(chance, site)
    if site == ODD_SITE:  # one answer is stored before its question
        at = next(at for at, row in enumerate(rows) if at > 20 and row["PostTypeId"] == "1")
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    lines = [row_line(row) for row in rows]
    if site == ODD_SITE:
        broken = row_line({"Id": "700001", "PostTypeId": "5", "Body": "<p>Half a row</p>"})
        lines.insert(30, broken.replace("Half ", "Half\r\n"))
        lines.insert(31, '  <row Id="700003" PostTypeId="1" Body="a \x1f b" Title="Control character" />')
        lines.insert(50, '  <row Id="700002" PostTypeId="1" Body="a < b" Title="Unescaped" />')
    return _file("posts", lines)


def other_file(site: str, name: str) -> bytes:
    """One of the other files of a dump, a few rows long: the slice does not read them."""
    chance = Chance(f"{name} {site}")
    rows = []
    for number in range(1, 13):
        row = {"Id": str(number), "UserId": str(chance.between(1, 90)), "CreationDate": _moment(chance)}
        if name == "Users":
            row = {"Id": str(number), "Reputation": str(chance.between(1, 4000)), "DisplayName": f"gardener{number}"}
        rows.append(row_line(row))
    return _file(name.lower(), rows)
