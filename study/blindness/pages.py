"""What the pages of a visit tell: their markup, their words, their refusals, and what they leave in a browser.

How a page becomes facts is `blindness_markup`; which words are looked for, everybody else asks here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from study.blindness.images import shape
from study.blindness.leak import Leak, unlike
from study.blindness.markup import TEXT, Cut, Fact, differences, facts, mask
from study.blindness.visit import Reply, Screen, Visit
from study.design.spec import Picture

STORES = re.compile(r"localStorage|sessionStorage|indexedDB|document\.cookie|cookieStore|caches\.open|serviceWorker")
METHODS = re.compile(r"textual[\W_]*inversion", re.IGNORECASE)
WORDS = {"lora", "original", "originals"}
MARKUP_WORDS = WORDS | {"ti"}  # a word of some languages, so only where nobody reads it
LEAST_HASH = 8


def pages(visits: Sequence[Visit], landmarks: Collection[str], hashes: Collection[str]) -> Iterator[Leak]:
    """All leaks of what is no picture."""
    masks = [mask(landmarks, visit.secrets) for visit in visits]
    written = [
        (visit, screen, facts(screen.page.text, masked))
        for visit, masked in zip(visits, masks)
        for screen in visit.screens
    ]
    yield from _markup(written)
    yield from _ids(visits)
    for visit, masked in zip(visits, masks):
        yield from _named(visit, [(screen, found) for of, screen, found in written if of is visit], masked)
        yield from _untold(visit, hashes)
        yield from _kept(visit)
    yield from _refusals(visits, masks)


def named(text: str, hidden: bool = False) -> set[str]:
    """Words of origins in a text; `hidden` for what people do not read."""
    # isLora has a word in it as lora-1 has
    parts = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", text)} | set(re.findall(r"[a-z]+", text.lower()))
    return parts & (MARKUP_WORDS if hidden else WORDS) | {found.lower() for found in METHODS.findall(text)}


def hashes_of(pictures: Mapping[str, Picture]) -> set[str]:
    """What no page may have in it: hashes of pictures and adapters, prompts, and whatever else the key was told."""
    found, names = set(pictures), {picture.landmark.casefold() for picture in pictures.values()}
    for picture in pictures.values():
        found |= {
            text
            for text in _texts(picture.facts)
            if len(text) >= LEAST_HASH and not text.isalpha() and text.casefold() not in names
        }
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _markup(written: Sequence[tuple[Visit, Screen, list[Fact]]]) -> Iterator[Leak]:
    """Screens of one block differ in nothing but their number, and options in nothing but their position."""
    alike = defaultdict(list)
    for visit, screen, found in written:
        alike[screen.kind == "practice", screen.layout].append((visit, screen, found))
    for (_, (options, beside)), group in alike.items():
        what = f"screens with {options} options and {beside} pictures beside them"
        # the last one of all says that it is the last
        inner = [(screen, found) for visit, screen, found in group if screen is not visit.screens[-1]]
        yield from _compared(what, [_cut(screen, found, None) for screen, found in inner])
        for position in range(1, options + 1):
            every = [_cut(screen, found, position) for _, screen, found in group]
            yield from _compared(f"{what}, option {position}", every)
        kinds = {screen.kind for _, screen, _ in group}
        if kinds <= {"catch", "repeat"}:
            yield Leak("kind of trial", what, f"are all {' or '.join(sorted(kinds))} trials")
    for _, screen, _ in written:
        values = [option.value for option in screen.form.options if option.image is not None]
        expected = [str(position) for position in range(1, len(values) + 1)]
        if values != expected and sorted(values) == sorted(expected):
            yield Leak("DOM order", "the options on the page", f"stand there as {', '.join(values)}")


def _cut(screen: Screen, found: Iterable[Fact], owner: int | None) -> Cut:
    label = screen.options[owner - 1].label if owner else ""
    return Cut(screen.kind, label, screen.number, [fact for fact in found if fact.owner == owner])


def _compared(what: str, cuts: Sequence[Cut]) -> Iterator[Leak]:
    for kind, detail in differences(cuts):
        yield Leak(kind, what, detail)


def _ids(visits: Sequence[Visit]) -> Iterator[Leak]:
    for name in ("trial", "response"):
        yield from unlike(
            "id",
            f"the form of {name} ids",
            ((screen.kind, shape(screen.form.fields[name])) for visit in visits for screen in visit.screens),
        )


def _named(visit: Visit, written: Iterable[tuple[Screen, list[Fact]]], masked: Callable[[str], str]) -> Iterator[Leak]:
    """Words of origins, wherever a participant gets them before the last block."""
    for screen, found in written:
        if screen.kind != "guess":
            yield from _worded(found, f"screens of {screen.kind} trials")
    for reply in visit.before:
        if "html" in reply.header("content-type"):
            yield from _worded(facts(reply.text, masked), visit.where(reply))
        elif words := named(reply.text):
            yield Leak("word", reply.path, f"has {', '.join(sorted(words))}")
    for name, value in {header for view in visit.views for header in view.reply.headers}:
        if words := named(f"{name} {value}", hidden=True):
            yield Leak("header", f"the header {name} of pictures", f"has {', '.join(sorted(words))}")


def _untold(visit: Visit, hashes: Collection[str]) -> Iterator[Leak]:
    """What nobody may get at any time."""
    for reply in visit.replies:
        headers = "\n".join(value for _, value in reply.headers)
        text = headers if "image/" in reply.header("content-type") else f"{headers}\n{reply.text}"
        if "orig_name" in text:
            yield Leak("orig_name", visit.where(reply), "has orig_name in it")
        sent = reply.path.rpartition("/")[2]  # a refusal may repeat what was asked for
        if any(one in text and one != sent for one in hashes):
            yield Leak("word", visit.where(reply), "has a hash or another fact of the key")


def _worded(found: Iterable[Fact], where: str) -> Iterator[Leak]:
    for fact in found:
        read = fact.name == TEXT and fact.tag not in ("#comment", "script", "style")
        if words := named(fact.value, not read) | named(fact.name, True):
            yield Leak("word", where, f"{', '.join(sorted(words))} in <{fact.tag}>")


def _kept(visit: Visit) -> Iterator[Leak]:
    """Nothing may stay in a browser that the next person sits at."""
    for reply in visit.replies:
        where = visit.where(reply)
        if "no-store" not in reply.header("cache-control"):
            yield Leak("browser cache", where, f"Cache-Control is {reply.header('cache-control') or 'missing'}")
        if reply.header("set-cookie"):
            yield Leak("cookie", where, f"sets {reply.header('set-cookie').partition('=')[0]}")
        if "image/" not in reply.header("content-type") and (found := set(STORES.findall(reply.text))):
            yield Leak("local storage", where, f"mentions {', '.join(sorted(found))}")


def _refusals(visits: Sequence[Visit], masks: Sequence[Callable[[str], str]]) -> Iterator[Leak]:
    """What is refused is refused in the same words, whatever the picture is."""
    ways = {how for visit in visits for how, _, _ in visit.forged}
    for how in sorted(ways):
        found = [(label, reply) for visit in visits for way, label, reply in visit.forged if way == how]
        yield from unlike(
            "error text",
            f"a picture's address, {how}",
            ((label, _refused(reply, mask((), [reply.path.rpartition("/")[2]]))) for label, reply in found),
        )
        if open_to := {label for label, reply in found if reply.status < 400}:
            yield Leak("address", f"a picture's address, {how}", f"leads to a picture ({', '.join(sorted(open_to))})")
    at = defaultdict(list)
    for visit, masked in zip(visits, masks):
        for screen in visit.screens:
            if screen.refused:
                position, reply = screen.refused
                label = screen.options[position - 1].label
                at[screen.layout, position].append((label, _refused(reply, masked)))
    for ((options, beside), position), found in at.items():
        yield from unlike(
            "error text", f"a wrong answer to {options} options and {beside} beside, option {position}", found
        )


def _refused(reply: Reply, masked: Callable[[str], str]) -> tuple[int, str, str]:
    said = masked(reply.text)
    return reply.status, " ".join(re.sub(r"<[^>]*>", " ", said).split()), said
