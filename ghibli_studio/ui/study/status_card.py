"""What the Study tab shows of a study while it goes on: its state in counts, and the links to it. Never a result."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ghibli_studio.evaluation import blind_study
from ghibli_studio.ui.components import html_parts
from ghibli_studio.ui.server.auth import is_loopback
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from study.database.status import Status
    from study.store import Store


CHIPS = {"live": "running", "closed": "done"}


def card(store: Store) -> str:
    """State, counts, power and seal of a study as HTML."""
    from study.analysis.preregistered import planned_power

    status, definition = store.status(), store.definition()
    power = planned_power(definition)
    chances = ", ".join(f"{power[share]:.0%} if {share}" for share in ("70:30", "75:25", "80:20"))
    lines = [*_lines(status), f"Chance to find a difference with {power['n']} people: {chances}."]
    if status.lock_sha256:
        lines.append(f"Sealed: <code>{status.lock_sha256}</code>")
    bar = ""
    if status.state in CHIPS:
        complete = status.places.get("complete", 0)
        bar = html_parts.bar(complete / status.target, f"{complete} of {status.target} have finished")
    chip = f'<span class="chip {CHIPS.get(status.state, "")}">{status.state}</span>'
    return (
        f'<div class="card"><div class="head"><span><b>{html.escape(definition.title)}</b> {definition.instrument}, '
        f"{html.escape(', '.join(definition.landmarks))}</span>{chip}</div>{bar}"
        + "".join(f'<div class="foot">{line}</div>' for line in lines)
        + "</div>"
    )


def _lines(status: Status) -> Iterator[str]:
    """What there is to know in this state, a sentence each."""
    from study.design.plan import balanced_sizes

    if status.state not in CHIPS:
        tried = sum(status.counts.get("pilot", {}).values())
        yield f"{tried} tried it so far. Nothing that they answer counts."
        if status.target % 6:
            sizes = " or ".join(str(size) for size in sorted(set(balanced_sizes(status.target))))
            yield (
                f"{status.target} is no multiple of six, so some arrangements are seen more often than others; with "
                f"{sizes} participants all are seen equally often."
            )
        return
    counts = status.counts.get("simulated") or status.counts.get("live", {})  # a study never has both
    active, left = counts.get("active", 0), counts.get("left", 0)
    if status.state == "live":
        yield f"{active} answering now, {left} left before the end."
    else:
        yield f"{active + left} began and did not finish."
    if "simulated" in status.counts:
        yield "All answers are simulated."


def elsewhere(project: Project) -> str:
    """A sentence as HTML where participants meet another project's study; else empty."""
    served = blind_study.served_study(project.workspace).folder
    if served == project.study:
        return ""
    return (
        '<p class="problem">One study is served at a time, and now it is that of project '
        f"{html.escape(repr(served.parent.name))}, which is live or newer. Close it and set it aside first.</p>"
    )


def preview(address: str, pilot_key: str) -> str:
    """The link to try a draft with, as HTML."""
    safe = html.escape(f"{address}?pilot={pilot_key}")
    return (
        f'<p><a href="{safe}" target="_blank" rel="noopener">Try it as a participant</a> '
        "(nothing that you answer counts)</p>"
    )


def invitation(address: str) -> str:
    """The link for participants with its QR code, as HTML."""
    import segno

    drawn = io.BytesIO()
    segno.make(address).save(drawn, kind="svg", scale=4, border=2, light="#fff", xmldecl=False, omitsize=True)
    safe = html.escape(address)
    hint = ""
    if is_loopback(urlsplit(address).hostname or ""):
        hint = (
            "<p>Only this computer can open it. To invite others, start the study by itself: "
            "<code>python app.py --study-only --host 0.0.0.0</code></p>"
        )
    return (
        f'<p>For participants: <a href="{safe}" target="_blank" rel="noopener">{safe}</a></p>{hint}'
        f'<div role="img" aria-label="QR code of the link">{drawn.getvalue().decode()}</div>'
    )
