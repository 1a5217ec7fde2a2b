"""The curve of scripts/train_proxy.py as a small picture (SVG)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 46, 96, 16, 40


def picture(found: dict[str, Any]) -> str:
    """Loss over tokens: trained on, held out, and the guess that looks at nothing before."""
    points = found["points"]
    most = points[-1]["tokens"] or 1
    values = [point[key] for point in points for key in ("trained", "held_out") if key in point] + [found["blind"]]
    low, high = int(min(values)), int(max(values)) + 1

    def place(tokens: float, loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * tokens / most
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)
        return round(x, 1), round(y, 1)

    def line(pairs: Iterable[tuple[float, float]], colour: str, more: str = "") -> str:
        places = " ".join(f"{x},{y}" for x, y in (place(*pair) for pair in pairs))
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2" {more}/>'

    def word(x: float, y: float, text: str, anchor: str = "start", colour: str = "#333") -> str:
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{text}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>Loss of a model of {found['shape']['weights'] / 1e6:.1f} M weights over tokens read</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for loss in range(low, high + 1):
        y = place(0, loss)[1]
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#ddd"/>' + word(LEFT - 8, y + 4, str(loss), "end"))
    for part in range(5):
        tokens = most * part / 4
        parts.append(word(place(tokens, low)[0], HEIGHT - BOTTOM + 18, f"{tokens / 1e6:.2f}", "middle"))
    parts.append(
        word((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "million tokens read; upright: loss, nats a token", "middle")
    )
    blind = found["blind"]
    parts.append(line([(0, blind), (most, blind)], "#888", 'stroke-dasharray="5 4"'))
    parts.append(line([(p["tokens"], p["trained"]) for p in points if "trained" in p], "#9dbbdd"))
    parts.append(line([(p["tokens"], p["held_out"]) for p in points], "#1f5fa8"))
    names = [("held out", points[-1]["held_out"], "#1f5fa8"), ("blind guess", blind, "#666")]
    if "trained" in points[-1]:
        names.append(("trained on", points[-1]["trained"], "#6a93c4"))
    last = -100.0
    for name, loss, colour in sorted(names, key=lambda row: -row[1]):
        last = max(place(most, loss)[1] + 4, last + 14)  # names do not cover each other
        parts.append(word(WIDTH - RIGHT + 6, last, f"{name} {loss:.2f}", colour=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"
