"""
Draws a profile as a flame graph: one HTML page that needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final
from zlib import crc32

from reitunnel.monitoring.profiler import Profile

_HEIGHT: Final = 18
"""Of a frame, in pixels."""
_LEAST: Final = 0.0005
"""What is narrower than this part of the whole is not drawn."""

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 12px sans-serif; margin: 1em; }}
#graph {{ position: relative; height: {height}px; overflow: hidden; }}
#graph div {{ position: absolute; height: 17px; line-height: 17px; overflow: hidden;
  white-space: nowrap; text-indent: 2px; cursor: pointer; border-radius: 2px; }}
#graph div.found {{ background: #a9c !important; }}
</style>
<h1>{title}</h1>
<p>{about} Click a frame to see it larger, the lowest one to see all again.
<input id="word" placeholder="find"> <span id="part"></span></p>
<div id="graph">
{frames}</div>
<script>
const frames = [...document.querySelectorAll("#graph div")];
const total = {samples};
function zoom(x, w) {{
  for (const f of frames) {{
    const left = (f.dataset.x - x) / w, width = f.dataset.w / w;
    f.style.left = 100 * Math.max(0, left) + "%";
    f.style.width = 100 * (Math.min(1, left + width) - Math.max(0, left)) + "%";
    f.hidden = left + width <= 1e-9 || left >= 1 - 1e-9;
  }}
}}
for (const f of frames) f.onclick = () => zoom(+f.dataset.x, +f.dataset.w);
document.getElementById("word").oninput = event => {{
  const word = event.target.value, spans = [];
  for (const f of frames) {{
    const found = word && f.textContent.includes(word);
    f.className = found ? "found" : "";
    if (found) spans.push([+f.dataset.x, +f.dataset.x + +f.dataset.w]);
  }}
  let sum = 0, end = 0;
  for (const [a, b] of spans.sort((p, q) => p[0] - q[0])) {{
    sum += Math.max(0, b - Math.max(a, end)); end = Math.max(end, b);
  }}
  document.getElementById("part").textContent =
    word ? (100 * sum / total).toFixed(1) + " %" : "";
}};
zoom(0, total);
</script>
</html>
"""


@dataclass
class _Node:
    count: int = 0
    below: dict[str, _Node] = field(default_factory=dict)


def draw(profile: Profile, title: str) -> str:
    """
    Draw a profile.

    @param title: what was profiled.
    @return: an HTML page. It loads nothing.
    """
    root = _Node()
    for stack, count in profile.stacks.items():
        root.count += count
        node = root
        for name in stack:
            node = node.below.setdefault(name, _Node())
            node.count += count
    frames = list(_frames(root, max(root.count, 1)))
    depth = max((level for level, _ in frames), default=0) + 1
    return _PAGE.format(
        title=escape(title),
        about=escape(_about(profile)),
        height=depth * _HEIGHT,
        samples=max(root.count, 1),
        frames="".join(line for _, line in frames),
    )


def _about(profile: Profile) -> str:
    kind = "CPU time" if profile.clock == "cpu" else "time, waiting included"
    return (
        f"{profile.samples} samples in {profile.seconds:.3g} s of {kind}. The lowest "
        "frames have called those above them."
    )


def _frames(root: _Node, total: int) -> Iterator[tuple[int, str]]:
    """
    The level and the markup of each frame.
    """
    pending = [("all", root, 0, 0)]
    while pending:
        name, node, start, level = pending.pop()
        percent = 100 * node.count / total
        text = escape(name)
        markup = (
            f'<div style="bottom:{level * _HEIGHT}px;background:{_color(name)}" '
            f'data-x="{start}" data-w="{node.count}" '
            f'title="{text}: {node.count} samples, {percent:.1f} %">{text}</div>\n'
        )
        yield level, markup
        for inner, below in sorted(node.below.items()):
            if below.count >= _LEAST * total:
                pending.append((inner, below, start, level + 1))
            start += below.count


def _color(name: str) -> str:
    """
    The same for what is of the same module.
    """
    package = ".".join(name.split(".")[:2])
    hue = 10 + crc32(package.encode()) % 50
    return f"hsl({hue},85%,{62 + crc32(name.encode()) % 14}%)"
