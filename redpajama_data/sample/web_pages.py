"""Web pages for the sample: what a crawl finds, from encyclopedia articles to spam, in several languages.

The kinds differ in the way that real pages do: articles are written like the text that the sample's language model was
trained on, shops and blogs less so, forums and keyword lists hardly at all.
"""

from __future__ import annotations

from typing import NamedTuple

from redpajama_data.sample.lexicon import World
from redpajama_data.sample.prose import EXPOSITORY, NARRATIVE, SPEECH, WEB, Chance, paragraph, sentence, subject


class Page(NamedTuple):
    """A page as a crawl keeps it: address, title, lines of text, and the languages that the crawler saw ("" = none)."""

    url: str
    title: str
    lines: tuple[str, ...]
    languages: str = "eng"


FORUM = (
    "anyone else having trouble w/ the @n@ since the update?? mine keeps freezing, v2.@j@ btw",
    "lol no way, u cant just put a @m@ on it & hope 4 the best :D",
    "+1, same here!! tried rebooting @k@x & nothing... thx anyways guys",
    "IMHO the @a@ ones r way overpriced, got mine 2nd hand @ ebay 4 like $@k@",
    "@p@ wrote: >> dont bother, ur warranty is void anyway ;-)",
    "bump!!! still waiting 4 an answer, its been @k@ days :(",
    "mod edit: pls use the search b4 posting, thread #@j@ has everything abt @ns@",
    "omg this fixed it 4 me tysm!!1! xoxo",
    "Does any1 have a pic of the @b@ @m@? PM me plz, k thx bye",
    "nah m8, thats just the firmware bug from rev @k@b, flash it w/ JX-@j@ & ur good 2 go",
    "rofl @k@ replies & nobody even read what OP asked haha",
    "gotta say tho, wifi on that thing sux big time, ping >@j@ms",
)
SPAM = (
    "Cheap @ns@ online, buy @ns@ discount, best @n@ deals, @a@ @n@ coupon code, free shipping worldwide!",
    "Casino bonus @j@ free spins, online poker jackpot, no deposit bingo, click here now!!!",
    "Lose @k@ lbs in a week with this weird trick, doctors hate her, order today, limited stock!",
    "download @n@ mp3 torrent hd 1080p x264 rip subtitles crack keygen serial",
    "replica watches handbags sunglasses outlet sale up to @k@% off >>> shop now <<<",
    "Hot singles near @L@, webcam chat, no signup, 18+ only, join free today",
    "payday loan bad credit ok instant approval $@j@ cash advance apply online 24/7",
    "seo backlinks pr@k@ guaranteed ranking google bing yahoo traffic exchange",
)
FOREIGN = {
    "deu": (
        "Der Hafen von Altenbruch wurde im Jahre @y@ zum ersten Mal urkundlich erwähnt.",
        "Seit @y@ verbindet eine schmale Brücke die beiden Ufer des Flusses.",
        "Die meisten Besucher kommen im Sommer, wenn die Obstbäume auf den Hügeln blühen.",
        "Nach dem großen Brand blieb von der alten Mühle nur der Keller übrig.",
        "Der Müller zahlte damals @k@ Taler für das Grundstück und die Scheune.",
        "Heute gehört das Gebäude der Gemeinde und wird als kleines Museum genutzt.",
        "Ein Wanderweg führt über @k@ Stufen hinauf zum Aussichtsturm.",
        "Wer früh aufsteht, sieht von dort aus die Boote, die zum Fischen hinausfahren.",
        "Über den Namen des Ortes streiten sich die Gelehrten bis heute.",
        "Im Winter bleibt das Gasthaus geschlossen, weil der Pass verschneit ist.",
    ),
    "fra": (
        "Le village fut fondé en @y@ par des pêcheurs venus de la côte voisine.",
        "On y trouve encore une petite chapelle dont le clocher s'est écroulé pendant un orage.",
        "Depuis @y@, un marché se tient chaque samedi sur la place de la mairie.",
        "Les habitants disent que le vieux puits n'a jamais manqué d'eau.",
        "Il faut compter @k@ minutes de marche pour atteindre le sommet de la colline.",
        "Le boulanger a vendu sa maison pour ouvrir une auberge au bord de la rivière.",
        "La récolte des pommes commence à la fin du mois de septembre.",
        "Au printemps, les chemins sont couverts de fleurs et l'air sent le miel.",
        "Cette histoire est racontée de plusieurs manières selon les familles.",
        "Le moulin appartient aujourd'hui à une association de @k@ membres.",
    ),
    "spa": (
        "La biblioteca del pueblo abrió sus puertas en @y@ con apenas @k@ libros.",
        "Los pescadores salen antes del amanecer y vuelven cuando el sol está alto.",
        "En la plaza hay una fuente de piedra que nadie recuerda haber visto seca.",
        "El tren llega dos veces por semana, salvo cuando la nieve cierra el puerto.",
        "La abuela guardaba las cartas en una caja de madera debajo de la cama.",
        "Desde @y@ se celebra aquí una feria de quesos, vinos y aceitunas.",
        "El camino hasta la ermita es largo, pero las vistas merecen el esfuerzo.",
        "Nadie sabe con certeza quién construyó la torre ni para qué servía.",
    ),
}
NAVIGATION = (
    "Home", "About us", "Contact", "Log in | Register", "Skip to main content", "Terms of use and privacy policy",
    "This site uses cookies. By going on you agree that we may store them on your device.",
    "Subscribe to our newsletter and never miss a new article.", "Share this page with your friends", "Back to top",
)  # fmt: skip
FOOTER = "© 20{year} The {site} team. All rights reserved."


def article_text(chance: Chance, world: World) -> list[str]:
    """Paragraphs of an encyclopedia article."""
    return [paragraph(chance, world, EXPOSITORY, 3, 6) for _ in range(chance.between(4, 7))]


def story_text(chance: Chance, world: World) -> list[str]:
    """Paragraphs of a story."""
    return [paragraph(chance, world, NARRATIVE, 3, 6) for _ in range(chance.between(3, 6))]


def blog_text(chance: Chance, world: World) -> list[str]:
    """Paragraphs of a blog or a shop."""
    return [paragraph(chance, world, WEB, 2, 5) for _ in range(chance.between(3, 6))]


def forum_text(chance: Chance, world: World) -> list[str]:
    """Posts of a forum."""
    return [paragraph(chance, world, FORUM, 1, 3) for _ in range(chance.between(7, 12))]


def spam_text(chance: Chance, world: World) -> list[str]:
    """Lines of keywords."""
    return [paragraph(chance, world, SPAM, 1, 3) for _ in range(chance.between(5, 9))]


def interview_text(chance: Chance, world: World) -> list[str]:
    """Paragraphs of direct speech."""
    return [paragraph(chance, world, SPEECH, 2, 3) for _ in range(chance.between(5, 8))]


def guide_text(chance: Chance, world: World) -> list[str]:
    """Paragraphs of a visitors' guide: some from an article, some from a shop."""
    kinds = [chance.pick((EXPOSITORY, WEB)) for _ in range(chance.between(4, 6))]
    return [paragraph(chance, world, kind, 3, 5) for kind in (EXPOSITORY, WEB, *kinds)]


def foreign_text(chance: Chance, world: World, language: str) -> list[str]:
    """Paragraphs in German, French or Spanish."""
    return [paragraph(chance, world, FOREIGN[language], 3, 5) for _ in range(chance.between(3, 5))]


def babel_text(chance: Chance, world: World) -> list[str]:
    """One sentence of each language after the other, so that none has the better of the others."""
    kinds = (FOREIGN["deu"], FOREIGN["fra"], FOREIGN["spa"], WEB)
    return [" ".join(sentence(chance, world, chance.pick(kind)) for kind in kinds) for _ in range(4)]


def page(chance: Chance, kind: str, path: str) -> Page:
    """A page of one ``kind`` with the navigation and the footer of its site around the text.

    ``article``, ``story``, ``interview``, ``guide``, ``blog``, ``forum``, ``spam``, ``babel``, or one of FOREIGN.
    ``path`` makes the address unique.
    """
    name, world = subject(chance)
    site = f"{name}-{kind}"
    if kind in FOREIGN:
        text = foreign_text(chance, world, kind)
    else:
        text = {
            "article": article_text, "story": story_text, "interview": interview_text, "guide": guide_text,
            "blog": blog_text, "forum": forum_text, "spam": spam_text, "babel": babel_text,
        }[kind](chance, world)  # fmt: skip
    around = chance.some(NAVIGATION, 4)
    lines = (*around[:3], *text, around[3], FOOTER.format(year=chance.between(12, 23), site=site))
    title = f"{chance.pick(world.nouns).capitalize()} - {site}"
    return Page(f"https://www.{site}.example/{path}", title, lines, kind if kind in FOREIGN else "eng")
