"""What the numbers of an evaluation allow one to claim about the images, question by question, in plain words.

No number is computed here; the numbers come from `evaluation.analysis`. A difference is claimed only if both the
corrected p and the interval support it. Findings about training and the study are in `training_findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ghibli_studio.evaluation.analysis import ALPHA, INCONCLUSIVE, NO_EVIDENCE
from ghibli_studio.evaluation.metrics import TASKS
from ghibli_studio.plotting.formatting import join_words, p_value, pluralize, signed

Verdict = Literal["difference", "no_difference", "mixed", "inconclusive"]
QUESTIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "style": (
        "Which is closer to the style?",
        "closer to the style",
        ("style_similarity", "style_distance", "lpips", "psnr", "clip_distance"),
    ),
    "landmark": (
        "Which preserves the landmark better?",
        "better at preserving the landmark",
        ("landmark_similarity", "ssim", "edge_correlation"),
    ),
    "prompt": ("Which follows the prompt better?", "better at following the prompt", ("clip_score",)),
}
"""Title, the winner's description, and keys of the metrics of each question."""
LIMITATIONS = {
    "style": "That people would call it closer: these scores come from networks and formulas, which may see other "
    "things than people do. Only the study asks people.",
    "landmark": "That a person would recognize the landmark. An image that has hardly changed preserves it best, so "
    "read this together with the style.",
    "prompt": "That every word of the prompt is in the image: the score is one number for the whole sentence.",
}
HOW_TO_READ = (
    "txt2img images are generated from the prompt alone, img2img images from the landmark's photo. The unit of every "
    "test is the landmark. Numbers in brackets are 95 % intervals, each for a single comparison. A difference is "
    "claimed only if its interval excludes zero and p, corrected for the number of metrics of a pair and task (Holm), "
    "is below .05. No evidence of a difference is not evidence of no difference."
)
PROXY_LIMITATION = (
    "What the published networks would say: {names} is used as a proxy here, so these numbers cannot be compared with "
    "published ones."
)
NO_CLAIM = "That there is a difference, or that there is none."


@dataclass(frozen=True)
class Finding:
    """The answer to one question, with its evidence and its limits."""

    question: str
    title: str
    verdict: Verdict
    answer: str
    """One sentence: the strongest claim that the data supports."""
    results: tuple[str, ...] = ()
    """The results, with numbers."""
    certainty: tuple[str, ...] = ()
    """How certain the results are."""
    not_claimed: tuple[str, ...] = ()
    """What the results do not show, although it is tempting to conclude it."""
    favors: str | None = None
    """Name of the better variant, if there is one."""


def classify(comparison: dict[str, Any]) -> str:
    """Return `difference`, `no_difference` or `inconclusive`.

    A difference needs the support of both the corrected p and the interval.
    """
    interval, p = comparison["interval"], comparison["p_holm"]
    if comparison["verdict"].startswith(INCONCLUSIVE):
        return "inconclusive"
    if comparison["favors"] is None or interval is None or p is None:
        return "no_difference"
    return "difference" if p < ALPHA and not interval[0] <= 0 <= interval[1] else "no_difference"


def compared_pairs(result: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the compared pairs: those of two adapters, and those with the base model."""
    method = {variant["name"]: variant["method"] for variant in result["variants"]}
    pairs = list(dict.fromkeys((comparison["a"], comparison["b"]) for comparison in result["comparisons"]))
    with_base = [pair for pair in pairs if "base" in (method.get(pair[0]), method.get(pair[1]))]
    return [pair for pair in pairs if pair not in with_base], with_base


def image_findings(result: dict[str, Any] | None) -> list[Finding]:
    """Return one finding each on style, landmark and prompt, also without an evaluation."""
    return [_finding(result, question) for question in QUESTIONS]


def _finding(result: dict[str, Any] | None, question: str) -> Finding:
    title, description, keys = QUESTIONS[question]
    if result is None:
        return Finding(
            question, title, "inconclusive", "Unknown: no images have been evaluated yet.", not_claimed=(NO_CLAIM,)
        )
    adapter_pairs, with_base = compared_pairs(result)
    comparisons = [comparison for comparison in result["comparisons"] if comparison["metric"] in keys]
    pairs = adapter_pairs or with_base
    own = [comparison for comparison in comparisons if (comparison["a"], comparison["b"]) in pairs]
    verdict, favors, answer = _answer(own, pairs, description)
    results = [sentence for pair in pairs[:3] for sentence in _comparison_sentences(result, comparisons, pair)]
    if len(pairs) > 3:
        results.append(f"The table of all comparisons lists {len(pairs) - 3} more pairs.")
    if adapter_pairs:
        results += _base_sentences(comparisons, with_base)
    results += _distribution_sentences(result, pairs[:3], verdict) if question == "style" else []
    return Finding(
        question,
        title,
        verdict,
        answer,
        tuple(results),
        tuple(_certainty(result, comparisons, verdict)),
        tuple(_limitations(result, question, keys, verdict)),
        favors,
    )


def _answer(
    comparisons: list[dict[str, Any]], pairs: Sequence[tuple[str, str]], description: str
) -> tuple[Verdict, str | None, str]:
    """Return (verdict, name of the better variant, sentence) over all comparisons of one question."""
    if not comparisons:
        return "inconclusive", None, "Unknown: there was nothing to compare. Choose at least two variants."
    kinds = [classify(comparison) for comparison in comparisons]
    count = len(comparisons)
    if set(kinds) == {"inconclusive"}:
        most = max(comparison["landmarks"] for comparison in comparisons)
        return "inconclusive", None, f"Inconclusive: {pluralize(most, 'landmark')} are too few for any test."
    wins = [comparison["favors"] for comparison, kind in zip(comparisons, kinds) if kind == "difference"]
    names = " and ".join(dict.fromkeys(name for pair in pairs for name in pair))
    if not wins:
        return "no_difference", None, f"No evidence of a difference between {names}."
    winners = sorted(set(wins), key=lambda name: -wins.count(name))
    if len(winners) == 1:
        if count == 1:
            scope = "by the only comparison"
        elif len(wins) == count:
            scope = f"by all {count} comparisons"
        else:
            scope = f"by {len(wins)} of {count} comparisons; the others show no evidence of a difference"
        return "difference", winners[0], f"{winners[0]} is {description} {scope}."
    if len(pairs) == 1:
        counts = " and ".join(f"{wins.count(name)} favor {name}" for name in winners)
        return "mixed", None, f"The comparisons disagree: of {count}, {counts}."
    counts = ", ".join(f"{name} {wins.count(name)} times" for name in winners)
    return "mixed", None, f"In {count} comparisons of {len(pairs)} pairs, these were better: {counts}."


def _comparison_sentences(
    result: dict[str, Any], comparisons: list[dict[str, Any]], pair: tuple[str, str]
) -> Iterable[str]:
    """Yield one sentence per task and metric: which is better, by how much, with its interval."""
    for task in TASKS:
        for comparison in comparisons:
            if comparison["task"] == task and (comparison["a"], comparison["b"]) == pair:
                yield comparison_sentence(result, comparison)


def comparison_sentence(result: dict[str, Any], comparison: dict[str, Any]) -> str:
    """Return one comparison as a sentence that names the better variant, whichever direction is better."""
    name = result["metrics"][comparison["metric"]]["label"]
    form, kind, interval = signed_formatter(comparison), classify(comparison), comparison["interval"]
    if kind == "difference":
        other = comparison["b"] if comparison["favors"] == comparison["a"] else comparison["a"]
        size, low, high = (
            form(abs(value)).lstrip("+") for value in (comparison["difference"], *sorted(map(abs, interval)))
        )
        p = p_value(comparison["p_holm"])
        statement = f"{comparison['favors']} is better than {other} by {size} [{low} to {high}], {p}"
    else:
        within = f" [{form(interval[0])} to {form(interval[1])}]" if interval else ""
        what = NO_EVIDENCE if kind == "no_difference" else "too few landmarks"
        statement = f"{what} ({comparison['a']} − {comparison['b']}: {form(comparison['difference'])}{within})"
    return f"{name[0].upper()}{name[1:]}, {comparison['task']}: {statement}."


def signed_formatter(comparison: dict[str, Any]) -> Callable[[float], str]:
    """Return the format of a comparison's numbers: signed, with two significant digits."""
    size = max(abs(value) for value in (comparison["difference"], *(comparison["interval"] or ())))
    digits = 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.02 else 4
    return lambda value: signed(value, digits)


def _base_sentences(comparisons: list[dict[str, Any]], with_base: Sequence[tuple[str, str]]) -> Iterable[str]:
    for a, b in with_base:
        own = [comparison for comparison in comparisons if (comparison["a"], comparison["b"]) == (a, b)]
        kinds = [
            comparison["favors"] if classify(comparison) == "difference" else classify(comparison) for comparison in own
        ]
        words = {
            a: f"favor {a}",
            b: f"favor {b}",
            "no_difference": "show no evidence of a difference",
            "inconclusive": "are inconclusive",
        }
        counts = [f"{kinds.count(key)} {text}" for key, text in words.items() if key in kinds]
        if own:
            yield f"{a} vs. {b}: of {len(own)} comparisons, {join_words(counts)}."


def _distribution_sentences(
    result: dict[str, Any], pairs: Sequence[tuple[str, str]], verdict: Verdict
) -> Iterable[str]:
    """Yield the differences of the kernel distance between sets, which are described and not tested."""
    labels = {(entry["task"], entry["metric"]): entry["label"] for entry in result["sets"]}
    for comparison in result["set_comparisons"]:
        if (comparison["a"], comparison["b"]) in pairs and comparison["interval"]:
            form, (low, high) = signed_formatter(comparison), comparison["interval"]
            clear = comparison["favors"] is not None and not low <= 0 <= high
            statement = f"{comparison['favors']}'s set is closer to the originals" if clear else "no clear difference"
            statement = "too few landmarks" if verdict == "inconclusive" else statement
            key = comparison["task"], comparison["metric"]
            yield (
                f"As sets, {comparison['task']}, {comparison['a']} minus {comparison['b']}: "
                f"{labels.get(key, comparison['metric'])} {form(comparison['difference'])} "
                f"(95 % interval {form(low)} to {form(high)}): {statement}. This is descriptive, without a test."
            )


def _certainty(result: dict[str, Any], comparisons: list[dict[str, Any]], verdict: str) -> Iterable[str]:
    if not comparisons:
        return
    counts = sorted({comparison["landmarks"] for comparison in comparisons})
    seeds = result["settings"]["seeds"]
    count = (
        pluralize(counts[0], "landmark") if len(counts) == 1 else f"{counts[0]} to {pluralize(counts[-1], 'landmark')}"
    )
    yield f"{count}, {pluralize(seeds, 'image')} of each by every method from the same noise."
    if verdict == "no_difference":
        yield (
            "No evidence of a difference is not evidence of no difference: a difference as large as the ends of the "
            "intervals is still possible. More landmarks make the intervals narrower."
        )
    if seeds == 1:
        yield "With one seed, the effect of the noise cannot be separated from that of the landmark."


def _limitations(result: dict[str, Any], question: str, keys: Sequence[str], verdict: str) -> Iterable[str]:
    if verdict == "no_difference":
        yield "That the two are equally good."
    elif verdict == "inconclusive":
        yield NO_CLAIM
    else:
        yield "That a method is better in general: these are the files of these runs, trained on one dataset."
    yield LIMITATIONS[question]
    if any(uses_proxy(result, key) for key in keys if key in result["metrics"]):
        yield PROXY_LIMITATION.format(names=" and ".join(proxy_networks(result)) or "a proxy network")


def proxy_networks(result: dict[str, Any]) -> list[str]:
    """Return the names of the networks that are proxies for published ones."""
    return list(
        dict.fromkeys(network["name"] for network in result["networks"].values() if network and network["proxy"])
    )


def uses_proxy(result: dict[str, Any], key: str) -> bool:
    """Return whether a metric is computed with a proxy network."""
    label = result["metrics"][key]["label"]
    return "proxy" in label or any(name in label for name in proxy_networks(result))
