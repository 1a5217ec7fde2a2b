"""The words of the sample: fourteen little worlds with as few words in common as possible.

Two books made of the same words and sentences would be near-duplicates by their SimHash, so every book takes a world
of its own. The tables are written for the sample; people and places are invented.
"""

from __future__ import annotations

from typing import NamedTuple


class World(NamedTuple):
    """The words of one subject. Verbs are transitive and in the past tense, nouns count and take a plural "-s"."""

    people: tuple[str, ...]
    places: tuple[str, ...]
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    verbs: tuple[str, ...]
    adverbs: tuple[str, ...]


def _world(people: str, places: str, nouns: str, adjectives: str, verbs: str, adverbs: str) -> World:
    people_, places_ = tuple(people.split("|")), tuple(places.split("|"))
    return World(
        people_, places_, tuple(nouns.split()), tuple(adjectives.split()), tuple(verbs.split()), tuple(adverbs.split())
    )


WORLDS: dict[str, World] = {
    "harbour": _world(
        "Captain Orrin|Wilhelmina|old Pascoe|Josias Trewin|the pilot's widow",
        "Port Averil|the Lizard Bank|Saltgate Quay|Mewstone Light",
        "schooner anchor mast tide pilot cutter sail gale lantern wharf barnacle rudder hawser lugger gull reef "
        "compass cargo oar fathom deckhand bowsprit keel trawler buoy",
        "briny leeward becalmed tarred weatherly shoal-bound foggy barnacled seaworthy swollen brackish windward",
        "hauled moored furled sighted caulked hailed steered ballasted provisioned boarded reefed signalled charted",
        "aloft astern ashore landward seaward hoarsely",
    ),
    "farm": _world(
        "Hetty Marlow|Farmer Dunstable|Abel Crick|the carter's boy|Mrs. Threadgill",
        "Lower Hassock|Bramble End|Twelve Acre|Chalkpit Lane",
        "plough orchard heifer barn hedge furrow harvest lamb granary sickle pasture rooster thatch turnip stile "
        "ditch dairy ewe haystack shepherd meadow scythe bushel cartwheel duckpond",
        "muddy ripe fallow sunburnt freshly-mown thrifty stubborn rustic loamy barley-fed dewy unshorn",
        "ploughed milked sowed threshed mended gathered penned fattened bartered hedged reaped grazed weeded",
        "afield sturdily early homeward drowsily yearly",
    ),
    "railway": _world(
        "Inspector Quill|Signalman Botts|Miss Euphemia Rook|young Larkin|the stationmaster",
        "Vexford Junction|Coldharbour Halt|Number Nine Tunnel|the Thistle Viaduct",
        "locomotive signal platform carriage junction timetable boiler tunnel whistle sleeper fireman viaduct "
        "ticket footplate siding guard embankment telegraph buffer tender valve points-lever passenger railcar "
        "turntable",
        "sooty narrow-gauge express vacuum-braked overdue thunderous coupled high-pressure greasy nocturnal",
        "shunted coupled stoked despatched telegraphed inspected oiled flagged uncoupled rerouted scheduled repainted",
        "northbound precisely uphill mechanically officially twice",
    ),
    "mountain": _world(
        "Anselm the guide|Lady Corisande|Brother Ulric|Tobias Kern|the younger Kern",
        "the Weisszahn|Saint Florian's hut|the Blue Glacier|Hochfeld Saddle",
        "glacier ridge crevasse summit icefall moraine chamois rope avalanche precipice boulder chalet snowfield "
        "torrent pinnacle edelweiss scree lichen couloir cairn crampon knapsack bivouac alpenstock cornice",
        "dizzy windswept frostbitten granite treacherous glittering vertical frozen avalanche-scarred jagged airless",
        "attempted scaled roped bridged skirted ascended surmounted conquered glimpsed traversed belayed glissaded",
        "skyward breathlessly cautiously upward numbly sheer",
    ),
    "orchestra": _world(
        "Maestro Bellarmine|Clothilde|Herr Zimpel|the second oboist|Madame Fauvette",
        "the Lyric Hall|Kapellgasse|the conservatoire|Box Seventeen",
        "violin cadenza oboe baton overture quartet rehearsal melody bassoon audience trumpet soprano score aria "
        "encore chorus harpist fugue metronome piano sonata cellist kettledrum libretto interval",
        "sonorous muted virtuoso rapturous off-key melodious operatic tremulous lyrical pianissimo baroque",
        "rehearsed conducted tuned transposed hummed serenaded arranged composed applauded bowed orchestrated played",
        "allegro tunefully softly rhythmically again sweetly",
    ),
    "hospital": _world(
        "Doctor Ambrose Venn|Sister Perpetua|Nurse Tilling|the apothecary|Professor Glaisher",
        "Ward Four|the Infirmary of St. Roch|the dispensary|Candlewick Street",
        "fever bandage scalpel patient stethoscope ward tincture convalescent surgeon poultice stretcher diagnosis "
        "vaccine pulse lancet symptom nurse quinine splint ointment thermometer physician contagion dosage crutch",
        "feverish antiseptic surgical contagious bedridden clinical pale chronic incurable sterile soothing anaemic",
        "diagnosed bandaged prescribed inoculated examined dosed revived nursed isolated sterilised stitched weighed",
        "hourly clinically faintly medicinally overnight gravely",
    ),
    "press": _world(
        "Editor Macklin|Dorothea Pym|the printer's devil|Silas Hobday|a man from the Gazette",
        "Inkhorn Court|the Evening Comet|Fleetwater Row|the composing room",
        "headline typesetter column pamphlet editor inkwell proof journalist rumour broadsheet printer deadline "
        "subscriber scandal telegram leader-writer paragraph misprint newsboy cartoon bulletin libel stenographer "
        "notebook scoop",
        "libellous inky anonymous sensational front-page satirical well-informed verbatim exclusive topical scurrilous",
        "printed published retracted interviewed quoted edited serialised reported proofread censored leaked headlined",
        "anonymously verbatim tonight publicly exclusively wittily",
    ),
    "garden": _world(
        "Aunt Lavinia|Mr. Peabright|Rosamund|the under-gardener|Colonel Yarrow",
        "Fernleigh|the walled garden|the Orangery|Bellflower Walk",
        "rosebush trowel greenhouse hyacinth compost seedling bumblebee trellis wheelbarrow fountain tulip "
        "clematis snail sundial lavender lawn wisteria bulb dahlia peony hosepipe blackbird flowerbed parasol",
        "fragrant perennial evergreen mossy blossoming variegated herbaceous shady climbing velvety prize-winning",
        "pruned watered transplanted grafted planted trimmed mulched admired potted espaliered dug raked clipped",
        "outdoors abundantly leafily seasonally fragrantly idly",
    ),
    "observatory": _world(
        "Astronomer Halvorsen|Miss Ottoline Stark|the night assistant|Dr. Pell|Ignatius Moon",
        "Mount Cassian|the Great Refractor|Dome Two|the Meridian Room",
        "telescope comet nebula eclipse planet lens spectrum orbit astronomer meteor parallax galaxy ephemeris "
        "mirror eyepiece asteroid hypothesis photograph chronometer zenith magnitude satellite logarithm "
        "observatory catalogue",
        "celestial faint elliptical luminous spectroscopic infinitesimal lunar gaseous telescopic heliocentric "
        "variable",
        "observed calculated catalogued photographed predicted magnified computed hypothesised verified discovered "
        "timed",
        "nightly mathematically infinitely eastward brilliantly approximately",
    ),
    "mill": _world(
        "Enoch Garside|Bess Ramsbottom|Mr. Carruthers the owner|Little Jem|the overlooker",
        "Clough Bottom|Garside's Mill|Weaver Street|Top Lodge",
        "loom bobbin shuttle spindle warp weaver cotton wage strike chimney foundry calico foreman waterwheel yarn "
        "clog engine-house bale petition overseer dye pattern-book lockout gaslight terrace",
        "deafening threadbare unwashed hard-earned mechanised cobbled soot-stained half-time idle woollen prosperous",
        "threaded spun dyed carded tallied locked petitioned bleached hoisted unloaded knocked greased unravelled",
        "wearily sullenly noisily downhill grimly together",
    ),
    "court": _world(
        "Mr. Justice Harbottle|Serjeant Clove|Miss Amaryllis Finch|the defendant|the usher",
        "Chancery Yard|the Assize Court|Gray Friars Chambers|the Probate Office",
        "verdict barrister affidavit witness jury clause testament solicitor wig statute plaintiff codicil "
        "inheritance alibi magistrate subpoena objection forgery testimony ledger advocate deed bailiff parchment "
        "injunction",
        "inadmissible circumstantial learned perjured hereditary sworn impartial lawful confidential unsigned",
        "attested acquitted cross-examined contested adjourned sentenced notarised disputed subpoenaed witnessed "
        "bequeathed",
        "forthwith hereinafter solemnly judicially undoubtedly aside",
    ),
    "kitchen": _world(
        "Cook Pomfret|Gaston|Mrs. Bunbury|the scullery maid|Uncle Barnaby",
        "the Blue Boar|Pudding Lane|the cellar|Market Cross",
        "saucepan dumpling cinnamon oven tureen cutlet pastry ladle marmalade recipe onion pheasant teapot nutmeg "
        "apron gooseberry mustard custard spoonful corkscrew cauldron trifle banquet menu butter-dish",
        "buttery savoury burnt piping-hot delicious sugared underdone peppery overripe crusty appetising lukewarm",
        "roasted simmered peeled kneaded tasted basted carved whisked garnished devoured seasoned bottled pickled",
        "hungrily crisply greedily afterwards daintily heartily",
    ),
    "forest": _world(
        "Woodward Elric|Sorrel|Gammer Oakapple|the charcoal burner|Robin Hawtrey",
        "Grimwood|the Hollow Oak|Badger's Dene|King's Clearing",
        "squirrel thicket acorn poacher bracken woodpecker antler glade foxglove toadstool huntsman stump owl "
        "sapling badger ivy footprint snare cottage woodcutter axe beech bonfire twig vixen",
        "mossgrown tangled antlered twilit prickly hollow wild rustling ancient untrodden owl-haunted ferny",
        "felled tracked trapped startled foraged kindled stalked gathered coppiced overheard hunted burrowed followed",
        "stealthily deeper silently barefoot yonder wildly",
    ),
    "school": _world(
        "Headmaster Dr. Pringle|Mademoiselle Hortense|Cuthbert Minor|Winifred|the new usher",
        "Thornbury Hall|the Upper Fifth|Dormitory Three|the playing fields",
        "blackboard grammar dictionary pupil examination schoolmaster inkblot geometry prefect essay satchel term "
        "homework scholarship dormitory primer cricket-bat bell chalk atlas monitor detention copybook riddle "
        "prize-day",
        "studious scholarly mischievous unpunctual conjugated geometrical diligent bookish homesick inattentive polite",
        "translated memorised recited punished conjugated corrected copied expelled awarded scribbled taught "
        "questioned",
        "flawlessly alphabetically diligently fluently backwards neatly",
    ),
}
