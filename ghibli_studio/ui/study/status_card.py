"""The state of a study in counts and the links to it, as HTML. Never a result."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ghibli_studio.evaluation import blind_study
from ghibli_studio.plotting.formatting import pluralize
from ghibli_studio.ui.components import html_parts
from ghibli_studio.ui.server.auth import is_loopback
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from study.database.status import Status
    from study.store import Store


CHIPS = {"live": "running", "closed": "done"}


def card(store: Store) -> str:
    """Return the state, counts, power and commitment of a study as HTML."""
    from study.analysis.preregistered import planned_power

    status, definition = store.status(), store.definition()
    power = planned_power(definition)
    powers = ", ".join(f"{power[share]:.0%} if {share}" for share in ("70:30", "75:25", "80:20"))
    lines = [*_lines(status), f"Statistical power with {power['n']} participants: {powers}."]
    if status.lock_sha256:
        lines.append(f"Commitment: <code>{status.lock_sha256}</code>")
    bar = ""
    if status.state in CHIPS:
        complete = status.slots.get("complete", 0)
        bar = html_parts.bar(complete / status.target, f"{complete} of {status.target} have finished")
    chip = f'<span class="chip {CHIPS.get(status.state, "")}">{status.state}</span>'
    return (
        f'<div class="card"><div class="head"><span><b>{html.escape(definition.title)}</b> {definition.instrument}, '
        f"{html.escape(', '.join(definition.landmarks))}</span>{chip}</div>{bar}"
        + "".join(f'<div class="foot">{line}</div>' for line in lines)
        + "</div>"
    )


def _lines(status: Status) -> Iterator[str]:
    """Yield what is worth knowing in this state, one sentence at a time."""
    from study.design.plan import balanced_sizes

    if status.state not in CHIPS:
        tried = sum(status.counts.get("pilot", {}).values())
        yield f"Previewed {pluralize(tried, 'time')}. Preview answers do not count."
        if status.target % 6:
            sizes = " or ".join(str(size) for size in sorted(set(balanced_sizes(status.target))))
            yield (
                f"{status.target} is not a multiple of six, so some orders are shown more often than others; with "
                f"{sizes} participants all are shown equally often."
            )
        return
    counts = status.counts.get("simulated") or status.counts.get("live", {})  # a study never has both
    active, left = counts.get("active", 0), counts.get("left", 0)
    if status.state == "live":
        yield f"{active} answering now, {left} dropped out."
    else:
        yield f"{active + left} started but did not finish."
    if "simulated" in status.counts:
        yield "All answers are simulated."


def other_study_note(project: Project) -> str:
    """Return a warning as HTML if participants get another project's study; else an empty text."""
    served = blind_study.served_study(project.workspace).folder
    if served == project.study:
        return ""
    return (
        '<p class="problem">Only one study is served at a time; now it is that of project '
        f"{html.escape(repr(served.parent.name))}, which is live or newer. Close it and archive it first.</p>"
    )


def preview(address: str, pilot_key: str) -> str:
    """Return the preview link of a draft as HTML."""
    safe = html.escape(f"{address}?pilot={pilot_key}")
    return (
        f'<p><a href="{safe}" target="_blank" rel="noopener">Try it as a participant</a> '
        "(preview answers do not count)</p>"
    )


def invitation(address: str) -> str:
    """Return the link for participants and its QR code as HTML."""
    import segno

    svg = io.BytesIO()
    segno.make(address).save(svg, kind="svg", scale=4, border=2, light="#fff", xmldecl=False, omitsize=True)
    safe = html.escape(address)
    hint = ""
    if is_loopback(urlsplit(address).hostname or ""):
        hint = (
            "<p>Only this computer can open the link. To invite others, serve the study alone: "
            "<code>python app.py --study-only --host 0.0.0.0</code></p>"
        )
    return (
        f'<p>For participants: <a href="{safe}" target="_blank" rel="noopener">{safe}</a></p>{hint}'
        f'<div role="img" aria-label="QR code of the link">{svg.getvalue().decode()}</div>'
    )
