"""Wiki markup for the sample: ordinary articles in English and German, and pages that are odd in one way each."""

from __future__ import annotations

from collections.abc import Iterator

from redpajama_data.sample.lexicon import World
from redpajama_data.sample.prose import EXPOSITORY, Chance, fill, paragraph, plural, subject

Odd = tuple[str, str | None, int, str]

_GERMAN = (
    "@O@ ist eine Gemeinde im Landkreis @K@ mit rund @n@ Einwohnern.",
    "Der Ort liegt am rechten Ufer der @F@, etwa @k@ Kilometer nördlich von @K@.",
    "Im Jahr @y@ wurde die Kirche nach einem Brand wieder aufgebaut.",
    "Die erste urkundliche Erwähnung stammt aus dem Jahr @y@.",
    "Bekannt ist der Ort vor allem für seine @G@, die seit @y@ unter Denkmalschutz steht.",
    "Während des Dreißigjährigen Krieges verlor die Siedlung mehr als die Hälfte ihrer Bewohner.",
    "Seit @y@ verbindet eine Nebenbahn den Ort mit @K@; der Personenverkehr endete @z@.",
    "Zu den größten Arbeitgebern zählen eine Möbelfabrik und die Gärtnerei am @F@ufer.",
    "Über die Gründung gibt es eine Sage, nach der ein Müller hier einen Schatz gefunden haben soll.",
    "Der Gemeinderat besteht aus @k@ Mitgliedern, die auf fünf Jahre gewählt werden.",
    "Das Wappen zeigt in Blau eine silberne Brücke über drei grünen Wellen.",
    "Heute führt ein Wanderweg von der @G@ bis zur Quelle der @F@.",
)
_TOWNS = [
    "Ährenfeld",
    "Birkenau",
    "Dornbach",
    "Eschenried",
    "Födersbrück",
    "Grünwerder",
    "Hirschlingen",
    "Köhlerhof",
    "Lindenau",
    "Mühlrode",
]
_RIVERS = ["Ahse", "Brente", "Dürre", "Elbach", "Fuhne", "Glöt", "Härse", "Ilme"]
_SIGHTS = ["Wassermühle", "Zehntscheune", "Holzbrücke", "Stiftskirche", "Burgruine", "Sternwarte"]


def _link(chance: Chance, world: World) -> str:
    noun = chance.pick(world.nouns)
    return chance.pick((f"[[{noun}]]", f"[[{noun.capitalize()}|{plural(noun)}]]", f"''{noun}''", f"'''{noun}'''"))


def _reference(chance: Chance, world: World) -> str:
    year = chance.between(1870, 2015)
    person = chance.pick(world.people)
    cite = f"{{{{cite book |last={person} |title=The {chance.pick(world.nouns)} "
    cite += f"|year={year} |page={chance.between(3, 400)}}}}}"
    return chance.pick((f"<ref>{cite}</ref>", f'<ref name="n{year}">{cite}</ref>', f'<ref name="n{year}" />'))


def _prose(chance: Chance, world: World) -> str:
    text = paragraph(chance, world, EXPOSITORY, 3, 6)
    noun = chance.pick(world.nouns)
    text = text.replace(f" {noun} ", f" {_link(chance, world)} ", 1)
    return text + _reference(chance, world) if chance.below(2) else text


def _table(chance: Chance, world: World) -> str:
    rows = "".join(f"|-\n| {noun} || {chance.between(2, 99)}\n" for noun in chance.some(world.nouns, 4))
    return f'{{| class="wikitable sortable"\n! Kind !! Number\n{rows}|}}'


def english_article(chance: Chance) -> tuple[str, str]:
    """Title and markup of an article: infobox, lead, sections with lists, files and tables, categories."""
    name, world = subject(chance)
    noun, place = chance.pick(world.nouns), chance.pick(world.places)
    title = f"{chance.pick(world.adjectives).capitalize()} {noun}"
    parts = [
        f"{{{{Short description|A kind of {noun}}}}}\n{{{{Infobox object\n| name = {title}\n"
        f"| place = {{{{small|[[{place}]]}}}}\n"
        f"| year = {chance.between(1700, 1990)}\n}}}}\n"
        f"'''{title}''' is a [[{noun}]] near [[{place}]]. {_prose(chance, world)}"
    ]
    for heading in chance.some(
        ("History", "Description", "Use", "In literature", "Construction"), chance.between(1, 4)
    ):
        block = f"== {heading} ==\n"
        if chance.below(3) == 0:
            block += f"[[File:{noun.capitalize()} {chance.between(1, 40)}.jpg"
            block += f"|thumb|upright|A ''{noun}'' at [[{place}]] today]]\n"
        block += "\n\n".join(_prose(chance, world) for _ in range(chance.between(1, 3)))
        if chance.below(3) == 0:
            block += f"\n\n=== Kinds ===\n{_table(chance, world)}\n"
        if chance.below(3) == 0:
            block += "\n" + "\n".join(f"* {_link(chance, world)}, {chance.between(1800, 1999)}" for _ in range(3))
        parts.append(block)
    parts.append("== See also ==\n" + "\n".join(f"* [[{other}]]" for other in chance.some(world.nouns, 3)))
    parts.append(
        f"== References ==\n{{{{reflist}}}}\n\n== External links ==\n* [https://www.{name}.example The {name} museum]"
    )
    parts.append(f"[[Category:{name.capitalize()}]]\n[[Category:{plural(noun).capitalize()}|{title}]]")
    return title, "\n\n".join(parts)


def german_article(chance: Chance) -> tuple[str, str]:
    """Title and markup of an article on an invented German village."""
    town, district = chance.some(_TOWNS, 2)
    river, sight = chance.pick(_RIVERS), chance.pick(_SIGHTS)

    def told(count: int) -> str:
        words = {"O": town, "K": district, "F": river, "G": sight}
        words |= {"n": str(chance.between(400, 9000)), "k": str(chance.between(7, 40))}
        words |= {"y": str(chance.between(1180, 1899)), "z": str(chance.between(1950, 1989))}
        return " ".join(fill(template, words) for template in chance.some(_GERMAN[1:], count))

    title = f"{town} ({river})"
    return title, (
        f"{{{{Infobox Gemeinde in Deutschland\n|Name={town}\n|Kreis={district}\n}}}}\n"
        f"'''{town}''' ist eine Gemeinde im [[Landkreis {district}]]. {told(3)}"
        f"<ref>Amtsblatt, Nr. {chance.between(1, 52)}.</ref>\n\n"
        f"== Geschichte ==\n[[Datei:{town} {sight}.jpg|mini|Die {sight} in {town}]]\n{told(4)}\n\n"
        f"== Sehenswürdigkeiten ==\n* [[{sight}]]\n* Heimatmuseum „Alte Schule“\n\n{told(2)}\n\n"
        f"== Weblinks ==\n* [http://www.{town.lower()}.example/ Website der Gemeinde]\n\n"
        f"{{{{Normdaten|TYP=g|GND={chance.between(4000000, 4999999)}}}}}\n\n[[Kategorie:Gemeinde in {district}]]\n"
        f"[[Kategorie:Ort an der {river}]]\n\n[[en:{town}]]"
    )


def odd_english() -> Iterator[Odd]:
    """Title, markup, namespace and redirect target of the odd English pages."""
    for old, new in (("Sailing boats", "Schooner"), ("TelescopeMirror", "Telescope"), ("Loom (weaving)", "Loom")):
        yield old, f"#REDIRECT [[{new}]]\n\n{{{{R from alternative name}}}}", 0, new
    yield "Orchard (farm)", "#redirect [[Orchard#History]] {{R to section}}", 0, "Orchard"
    yield "Soft redirect", "#REDIRECT [[Harbour]] was written here by hand, so the dump has no element for it.", 0, ""
    yield "Talk:Schooner", "== Length ==\nIs the length right? ~~~~\n:I have measured it again. ~~~~", 1, ""
    yield "User:Editor 7", "I write about '''harbours'''. {{user en}}", 2, ""
    yield "Template:Infobox object", "<includeonly>{| class=infobox\n! {{{name|}}}\n|}</includeonly>", 10, ""
    yield "Category:Harbour", "{{Commons category}}\n[[Category:Main topics]]", 14, ""
    yield "Empty page", "", 0, ""
    yield "Deleted revision", None, 0, ""
    yield "Only a template", "{{Delete|reason=nothing here yet}}", 0, ""
    yield "Only a table", '{| class="wikitable"\n! Year !! Ships\n|-\n| 1901 || 12\n|}', 0, ""
    yield "Only a picture", "[[File:Lamp.svg|thumb|A [[lamp]]]]<!-- text to follow -->", 0, ""
    yield (
        "Mercury",
        "'''Mercury''' may refer to:\n* [[Mercury (planet)]]\n* [[Mercury (lamp)]]\n\n{{disambiguation}}",
        0,
        "",
    )
    yield (
        "Unclosed markup",
        "The '''harbour has {{a template that [[never ends.\n\n== Tables ==\n{| class=wikitable\n| one cell\n\n"
        "The end of the page.",
        0,
        "",
    )
    yield (
        "Nested templates",
        "{{a|{{b|{{c|x=[[link]]}}}}}}A ship{{efn|With {{convert|30|m}} of length.}} of {{{1|unknown}}} age.\n"
        "__NOTOC__ After the word.",
        0,
        "",
    )
    yield (
        "Interwiki and categories",
        "See [[:Category:Ships]], [[fr:Navire]] and [[wikt:ship|ship]] &amp; [[Ship]]s."
        "&nbsp;[[category:Ships|*]]\n[[Image:Old.png]]",
        0,
        "",
    )
    yield (
        "Tags",
        "Water is H<sub>2</sub>O.<ref group=n>A ''note''.</ref><br/>E = <math>mc^2</math>, <code>x = 1</code> and "
        "<nowiki>[[no link]]</nowiki>.\n<gallery>\nFile:A.jpg|First\n</gallery>\n<REF>upper case</REF>\n\n__TOC__",
        0,
        "",
    )
    yield (
        "Headings only at the start",
        "== First ==\n=== Second ===\n\n\n\n; term : definition\n# one\n# two\n## inner\n"
        "[http://www.example.org] [mailto:a@example.org Mail]",
        0,
        "",
    )
    yield 'AC/DC & the "rest"?', "A title with a slash, an ampersand, quotation marks and a question mark.", 0, ""
    yield "Café de l'Évêché", "A title with accents and an apostrophe, in [[French language|French]].", 0, ""
    yield "100% wool", "A title with a percent sign and a blank.", 0, ""


def odd_german() -> Iterator[Odd]:
    """The same for German."""
    yield "Lindenau (Sachsen)", "#WEITERLEITUNG [[Lindenau]]", 0, "Lindenau"
    yield "Aehrenfeld", "#REDIRECT [[Ährenfeld]]", 0, "Ährenfeld"
    yield "Diskussion:Lindenau", "Stimmt die Einwohnerzahl? --~~~~", 1, ""
    yield "Vorlage:Normdaten", "<noinclude>{{Dokumentation}}</noinclude>", 10, ""
    yield (
        "Lindenau",
        "'''Lindenau''' steht für:\n* [[Lindenau (Glöt)]]\n* [[Bild:Karte.png|30px]] einen Hof\n\n{{Begriffsklärung}}",
        0,
        "",
    )
