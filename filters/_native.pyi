PATHS: tuple[str, ...]
"""The loops that this machine can run, the fastest last, which is taken; all give the same."""

def use(path: str) -> None:
    """Take one of ``PATHS`` from now on, in the whole process: for tests. Raises :class:`ValueError` for another."""

def text_stats(text: str) -> tuple[int, int, int, int]:
    """(lines, longest line, alphanumeric, alphabetic characters); lines as ``str.splitlines`` gives them."""

def simhash64(text: str) -> int:
    """The published books step's SimHash of ``text`` (any case; 64 bits, unsigned).

    Features are all 6-character windows, with repetition, of the lower-cased text without ``[^\\w]``, or that whole
    string if it is shorter; each counts as the last 8 bytes of its MD5, big-endian; a bit is set where more than half
    of the features have it.
    """

def line_hashes(text: str) -> bytes:
    """CCNet's hash of every line of ``text.split("\\n")``: 8 bytes a line, little-endian u64 (numpy ``"<u8"``).

    Raises ``UnicodeEncodeError`` at a lone surrogate.
    """

def window_hashes(words: bytes, n: int) -> bytes:
    """The first 4 bytes of the SHA-1 of every ``n`` words in a row; ``words`` are parted by one blank each."""
