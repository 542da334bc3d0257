"""Rank tests on what differs between images by chance - ids, positions, times: do origins differ by more?

The values come from `visit`; what may not differ at all is compared in `images` and `pages`.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from study import ORIGINS
from study.analysis.statistics import holm
from study.blindness.visit import ImageView, Visit

ALPHA = 1e-5
"""Level of all tests of one kind together, so that chance is rarely reported; a real leak is far below with two
participants."""
MIN_IMAGES = 8
"""Fewer images of an origin are not tested."""
MIN_TIME_DIFFERENCE = 0.002
"""Seconds; a smaller difference of medians cannot be noticed over a network, however significant."""
MIN_TIME_DIFFERENCE_SHARE = 0.2
"""Share of the median; the same bound for slow servers."""

Stratum = Sequence[tuple[Any, str]]
"""(value, label) of images that are compared with each other."""


@dataclass(frozen=True)
class RankTest:
    """A difference, and how likely chance gives one as large."""

    kind: str
    what: str
    detail: str
    p: float


def rank_tests(visits: Sequence[Visit]) -> Iterator[RankTest]:
    """Yield all tests of visits to one study."""
    screens = [screen.options for visit in visits for screen in visit.screens]
    yield from _ids([view for visit in visits for view in visit.views], screens)
    strata: list[Stratum] = [[(view.position, view.label) for view in options] for options in screens]
    yield from _each("DOM order", "the order of the options on the page", strata, ORIGINS)
    yield from _times(visits, screens)
    for name in sorted(varying_headers(visits)):
        strata = [[(_natural(view.reply.header(name)), view.label) for view in options] for options in screens]
        yield from _each("header", f"the header {name}", strata, ORIGINS)


def significant(tests: Iterable[RankTest]) -> Iterator[RankTest]:
    """Yield the tests that chance does not explain, corrected within each kind (Holm 1979)."""
    by_kind = defaultdict(list)
    for test in tests:
        by_kind[test.kind].append(test)
    for own in by_kind.values():
        for test, p in zip(own, holm([test.p for test in own])):
            if p is not None and p < ALPHA:
                yield test


def varying_headers(visits: Iterable[Visit]) -> set[str]:
    """Return the date and the headers that differ between replies of one address; they do not describe an image."""
    names = {"date"}
    for visit in visits:
        for view, replies in visit.repeated:
            for reply in replies:
                names |= {name for name, value in view.reply.headers if reply.header(name) != value}
    return names


def rank_sum(strata: Iterable[Stratum], label: str) -> float | None:
    """Return the two-sided p of the rank sum of one label within strata, by the normal approximation with ties.

    Wilcoxon 1945, summed over strata as in Lehmann 1975, Nonparametrics, 3.3. None if too few values have the label.
    """
    deviation = variance = 0.0
    count = 0
    for stratum in strata:
        n, own = len(stratum), [value for value, name in stratum if name == label]
        m = len(own)
        if not 0 < m < n:
            continue
        ties = Counter(value for value, _ in stratum)
        rank: dict[Any, float] = {}
        below = 0
        for value in sorted(ties):
            rank[value] = below + (ties[value] + 1) / 2
            below += ties[value]
        deviation += sum(rank[value] for value in own) - m * (n + 1) / 2
        variance += m * (n - m) / 12 * (n + 1 - sum(t**3 - t for t in ties.values()) / (n * (n - 1)))
        count += m
    if count < MIN_IMAGES or variance <= 0:
        return None
    return math.erfc(abs(deviation) / math.sqrt(2 * variance))


def _each(kind: str, what: str, strata: Sequence[Stratum], labels: Iterable[str]) -> Iterator[RankTest]:
    for label in labels:
        if (p := rank_sum(strata, label)) is not None:
            yield RankTest(kind, what, f"separates {label} from the others (p = {p:.1e})", p)


def _ids(views: Sequence[ImageView], screens: Sequence[Sequence[ImageView]]) -> Iterator[RankTest]:
    """Test the sorted ids, on each screen and overall, and every letter of them by itself."""
    labels, ids = sorted({view.label for view in views}), {(view.token, view.label) for view in views}
    on_screens = list(_new_ids(screens))
    yield from _each("order of ids", "the sorted ids of a screen", on_screens, ORIGINS)
    yield from _each("order of ids", "all sorted ids", [sorted(ids)], labels)
    for at in range(min((len(token) for token, _ in ids), default=0)):
        letters = [(token[at], label) for token, label in ids]
        yield from _each("order of ids", f"letter {at + 1} of the ids", [letters], labels)


def _new_ids(screens: Sequence[Sequence[ImageView]]) -> Iterator[Stratum]:
    """Yield the ids of each screen that no earlier screen had: a repeated id is a leak by itself, not new evidence."""
    seen: set[str] = set()
    for options in screens:
        yield [(view.token, view.label) for view in options if view.token not in seen]
        seen |= {view.token for view in options}


def _times(visits: Sequence[Visit], screens: Sequence[Sequence[ImageView]]) -> Iterator[RankTest]:
    """Test the time of the first request, among the images of a screen, and the best of several later ones."""
    first = [[(view.reply.seconds, view.label) for view in options] for options in screens]
    later = [
        [(min(reply.seconds for reply in replies), view.label) for visit in visits for view, replies in visit.repeated]
    ]
    for what, strata in (("the first request of an image", first), ("later requests", later)):
        times = [timed for stratum in strata for timed in stratum]
        for label in sorted({label for _, label in times}):
            own, others = ([value for value, name in times if (name == label) is same] for same in (True, False))
            if not others or (p := rank_sum(strata, label)) is None:
                continue
            difference = abs(median(own) - median(others))
            noticeable = difference >= max(MIN_TIME_DIFFERENCE, MIN_TIME_DIFFERENCE_SHARE * median(others))
            detail = f"{label} takes {1000 * median(own):.1f} ms, the others {1000 * median(others):.1f} (p = {p:.1e})"
            yield RankTest("load time", what, detail, p if noticeable else 1.0)


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts 9 before 10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", text))
