"""Whether what differs from picture to picture by chance - ids, positions, times - differs between origins by more.

Rank tests on what `blindness_visit` brought home; what may not differ at all is `blindness`.
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
from study.blindness.visit import View, Visit

ALPHA = 1e-5
"""Of all tests of one kind together: so rarely is chance taken for a leak. With two people a leak lies far below."""
FEWEST = 8
"""With fewer pictures of an origin nothing is tested."""
NOTICED = 0.002
"""Seconds; a smaller difference between medians is lost in any network, however sure it is."""
NOTICED_SHARE = 0.2
"""Of the median; the same for slow servers."""

Stratum = Sequence[tuple[Any, str]]
"""(value, label) of pictures that are compared with each other."""


@dataclass(frozen=True)
class Test:
    """A difference and how likely chance makes one as large."""

    kind: str
    what: str
    detail: str
    p: float


def tests(visits: Sequence[Visit]) -> Iterator[Test]:
    """All tests of some visits to one study."""
    screens = [screen.options for visit in visits for screen in visit.screens]
    yield from _ids([view for visit in visits for view in visit.views], screens)
    strata = [[(view.position, view.label) for view in options] for options in screens]
    yield from _each("DOM order", "the order of the options on the page", strata, ORIGINS)
    yield from _times(visits, screens)
    for name in sorted(changing(visits)):
        strata = [[(_natural(view.reply.header(name)), view.label) for view in options] for options in screens]
        yield from _each("header", f"the header {name}", strata, ORIGINS)


def proven(tests: Iterable[Test]) -> Iterator[Test]:
    """Those that chance does not explain, adjusted within each kind (Holm 1979)."""
    of_kind = defaultdict(list)
    for test in tests:
        of_kind[test.kind].append(test)
    for some in of_kind.values():
        for test, p in zip(some, holm([test.p for test in some])):
            if p is not None and p < ALPHA:
                yield test


def changing(visits: Iterable[Visit]) -> set[str]:
    """Headers that differ between two answers of one address, and the date: no property of a picture."""
    names = {"date"}
    for visit in visits:
        for view, replies in visit.again:
            for reply in replies:
                names |= {name for name, value in view.reply.headers if reply.header(name) != value}
    return names


def rank_sum(strata: Iterable[Stratum], label: str) -> float | None:
    """Two-sided p of the rank sum of one label within strata, by the normal approximation with ties.

    Wilcoxon 1945, summed over strata as in Lehmann 1975, Nonparametrics, 3.3. None if too few values have the label.
    """
    away = variance = 0.0
    count = 0
    for stratum in strata:
        n, own = len(stratum), [value for value, of in stratum if of == label]
        m = len(own)
        if not 0 < m < n:
            continue
        ties = Counter(value for value, _ in stratum)
        rank, below = {}, 0
        for value in sorted(ties):
            rank[value] = below + (ties[value] + 1) / 2
            below += ties[value]
        away += sum(rank[value] for value in own) - m * (n + 1) / 2
        variance += m * (n - m) / 12 * (n + 1 - sum(t**3 - t for t in ties.values()) / (n * (n - 1)))
        count += m
    if count < FEWEST or variance <= 0:
        return None
    return math.erfc(abs(away) / math.sqrt(2 * variance))


def _each(kind: str, what: str, strata: Sequence[Stratum], labels: Iterable[str]) -> Iterator[Test]:
    for label in labels:
        if (p := rank_sum(strata, label)) is not None:
            yield Test(kind, what, f"tells {label} from the others (p = {p:.1e})", p)


def _ids(views: Sequence[View], screens: Sequence[Sequence[View]]) -> Iterator[Test]:
    """Ids in their order, on each screen and among all; and every letter of them by itself."""
    labels, ids = sorted({view.label for view in views}), {(view.token, view.label) for view in views}
    on_screens = list(_met_first(screens))
    yield from _each("order of ids", "the ids of a screen in their order", on_screens, ORIGINS)
    yield from _each("order of ids", "all ids in their order", [sorted(ids)], labels)
    for at in range(min((len(token) for token, _ in ids), default=0)):
        letters = [(token[at], label) for token, label in ids]
        yield from _each("order of ids", f"letter {at + 1} of the ids", [letters], labels)


def _met_first(screens: Sequence[Sequence[View]]) -> Iterator[Stratum]:
    """The ids of each screen that no earlier one had: one that comes back is a leak by itself, and no new evidence."""
    known: set[str] = set()
    for options in screens:
        yield [(view.token, view.label) for view in options if view.token not in known]
        known |= {view.token for view in options}


def _times(visits: Sequence[Visit], screens: Sequence[Sequence[View]]) -> Iterator[Test]:
    """The first time that a picture is asked for, among those of its screen; and the best of several later ones."""
    first = [[(view.reply.seconds, view.label) for view in options] for options in screens]
    again = [
        [(min(reply.seconds for reply in replies), view.label) for visit in visits for view, replies in visit.again]
    ]
    for what, strata in (("the first time that a picture is asked for", first), ("later times", again)):
        every = [one for stratum in strata for one in stratum]
        for label in sorted({label for _, label in every}):
            own, others = ([value for value, of in every if (of == label) is same] for same in (True, False))
            if not others or (p := rank_sum(strata, label)) is None:
                continue
            apart = abs(median(own) - median(others))
            noticed = apart >= max(NOTICED, NOTICED_SHARE * median(others))
            told = f"{label} takes {1000 * median(own):.1f} ms, the others {1000 * median(others):.1f} (p = {p:.1e})"
            yield Test("load time", what, told, p if noticed else 1.0)


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts 9 before 10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", text))
