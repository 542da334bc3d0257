"""The participant's page: plain HTML and a little script over the store. No state of its own, no Gradio.

Everything that a person may learn passes through here, so the same words, headers and sizes are sent whatever is behind
a picture. What is blind and what is not is tested by `blindness`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from typing import Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from study import StudyError
from study.database.trials import INPUTS, LONGEST, Current
from study.design.blind_image import MEDIA_TYPE
from study.replica.replication import NotKept
from study.store import Store

HERE = Path(__file__).parent
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self' https://huggingface.co",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATIC = {"study.css": "text/css", "study.js": "text/javascript"}
MENU_WORDS = {
    "none": "None of them",
    "both": "In both",
    "neither": "In neither",
    "unsure": "I cannot tell",
    "seen": "I have looked at it",
}
WORDS = {
    "buy": "Which of these pictures would you buy as artwork?",
    "landmark": "In which picture is {landmark} well preserved?",
    "style": "Which picture is closer in style to the four pictures above?",
    "guess": "One of these was made by a method called LoRA. Which one, would you say?",
    "view": "Look at this picture as long as you like.",
}
BOARD_WORDS = {
    "buy": "Which one of these pictures would you buy as artwork?",
    "landmark": "In which one of these pictures is the landmark preserved best?",
    "style": "Which one of these pictures is closest in style to the four pictures above?",
}


@cache
def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True)


def screen(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """One of the templates as a response."""
    return HTMLResponse(_templates().get_template(name).render(**values), status, HEADERS)


def question(current: Current) -> str:
    """What is asked, in words."""
    if current.block == "board":
        return BOARD_WORDS[current.question]
    return WORDS[current.question].format(landmark=current.landmark or "the landmark")


def beside(current: Current) -> tuple[str, str]:
    """(label, alternative text) of what is shown beside the pictures to choose from."""
    if current.question == "style":
        return "Four pictures in one style", "Style picture"
    if current.block == "board":
        return "Photographs of the five landmarks", "Photograph"
    return f"A photograph of {current.landmark}", f"Photograph of {current.landmark}"


def routes(find: Callable[[], Store], mode: str = "live", pilot_key: str | None = None) -> APIRouter:
    """Routes under `/study` and `/study-img` for the study that `find` returns, or refuses with a StudyError.

    `mode` is what new participants count as; with `pilot_key` in the address of the consent, they are a pilot.
    """
    router = APIRouter(include_in_schema=False)

    def friendly(
        request: Request, act: Callable[[], Response], back: str = "", link_text: str = "", again: str = ""
    ) -> Response:
        try:
            return act()
        except NotKept as error:
            return screen(
                "message.html",
                503,
                title="Study",
                root=root(request),
                heading="Not kept yet",
                text=f"{str(error)[0].upper()}{str(error)[1:]}.",
                link=f"{root(request)}{again or back}",
                link_text="Try again",
            )
        except StudyError as error:
            return screen(
                "message.html",
                409,
                title="Study",
                root=root(request),
                heading="That did not work",
                text=f"{str(error)[0].upper()}{str(error)[1:]}.",
                link=back and f"{root(request)}{back}",
                link_text=link_text,
            )

    def root(request: Request) -> str:
        return request.scope.get("root_path", "")

    def consent(request: Request, of_mode: str) -> Response:
        store = find()
        definition = store.definition()
        if (refusal := store.refusal(of_mode)) is not None:
            return screen(
                "message.html",
                title=definition.title,
                root=root(request),
                heading=definition.title,
                text=f"{refusal[0].upper()}{refusal[1:]}.",
                link=None,
            )
        # the personal link is made here, so that a second click on Begin leads to the same place
        action = f"{root(request)}/study/p/{token_urlsafe(24)}/begin"
        if of_mode == "pilot":
            action += f"?pilot={pilot_key}"
        return screen(
            "consent.html",
            title=definition.title,
            root=root(request),
            consent=definition.consent,
            contact=definition.contact,
            action=action,
            pilot=of_mode == "pilot",
        )

    @router.get("/study")
    def start(request: Request, pilot: str = "") -> Response:
        """The consent."""
        return friendly(request, lambda: consent(request, "pilot" if _is(pilot, pilot_key) else mode))

    @router.post("/study/p/{token}/begin")
    def begin(request: Request, token: str, agree: str = Form(""), pilot: str = "") -> Response:
        """Take part: a place, a plan, and on to the first question."""

        def act() -> Response:
            if agree != "yes":
                raise StudyError("nobody takes part without having agreed; go back and tick the box")
            store = find()
            store.join("pilot" if _is(pilot, pilot_key) else mode, store.definition().digest(), token)
            return RedirectResponse(f"{root(request)}/study/p/{token}", 303, HEADERS)

        return friendly(request, act, again=f"/study/p/{token}")

    @router.get("/study/p/{token}")
    def trial(request: Request, token: str) -> Response:
        """The current question, or the debrief."""
        return friendly(request, lambda: show(request, token, find()), again=f"/study/p/{token}")

    def show(request: Request, token: str, store: Store) -> Response:
        now = store.current(token)
        if now.done:
            definition = store.definition()
            return screen(
                "debrief.html",
                title=definition.title,
                root=root(request),
                completion=now.completion_code,
                withdrawal=now.withdrawal_code,
                pilot=now.pilot,
                triad=definition.instrument == "triad",
            )
        label, alternative = beside(now)
        return screen(
            "trial.html",
            title=f"Question {now.number} of {now.total}",
            root=root(request),
            token=token,
            number=now.number,
            total=now.total,
            practice=now.block == "practice",
            pilot=now.pilot,
            trial=now.trial_id,
            response=token_urlsafe(16),
            options=now.options,
            beside=now.shown,
            beside_label=label,
            beside_alt=alternative,
            question=question(now),
            menu=[(word, MENU_WORDS[word]) for word in now.menu],
            seen="seen" in now.menu,
            last=now.number == now.total,
            side=now.side,
        )

    @router.post("/study/p/{token}/shown")
    def shown(request: Request, token: str, trial: str = Form("")) -> Response:
        """All pictures are on the screen: the server's clock starts."""

        def act() -> Response:
            find().shown(token, trial)
            return Response(status_code=204, headers=HEADERS)

        return friendly(request, act)

    @router.post("/study/p/{token}/answer")
    def answer(
        request: Request,
        token: str,
        trial: str = Form(""),
        response: str = Form(""),
        choice: str = Form(""),
        milliseconds: str = Form(""),
        input: str = Form(""),
    ) -> Response:
        """Keep an answer, then show where the person is; the same for an answer that was kept before."""

        def act() -> Response:
            position = int(choice) if choice.isascii() and choice.isdigit() and len(choice) < 4 else None
            find().answer(
                token,
                trial,
                response,
                choice if position is None else "image",
                position,
                _milliseconds(milliseconds),
                input if input in INPUTS else "",
            )
            return RedirectResponse(f"{root(request)}/study/p/{token}", 303, HEADERS)

        return friendly(request, act, f"/study/p/{token}", "Back to your question")

    @router.get("/study-img/{view}")
    def image(view: str) -> Response:
        """A blind copy. Nothing in the headers depends on the picture: all copies have one length."""
        try:
            return Response(find().image(view), 200, HEADERS, MEDIA_TYPE)
        except StudyError:
            return Response(status_code=404, headers=HEADERS)

    @router.get("/study/withdraw")
    def leaving(request: Request) -> Response:
        """The form for the withdrawal code."""
        return screen("withdraw.html", title="Withdraw", root=root(request), told=None)

    @router.post("/study/withdraw")
    def leave(request: Request, code: str = Form("")) -> Response:
        """Delete a person's answers."""

        def act() -> Response:
            count = find().withdraw(code)
            told = f"Done. Deleted: {count} answers and everything that belonged to them."
            return screen("withdraw.html", title="Withdraw", root=root(request), told=told)

        return friendly(request, act, "/study/withdraw", "Try another code")

    @router.get("/study/static/{name}")
    def static(name: str) -> Response:
        """Style sheet and script."""
        if name not in STATIC:
            return Response(status_code=404, headers=HEADERS)
        return Response((HERE / "static" / name).read_bytes(), 200, HEADERS, STATIC[name])

    return router


def _is(given: str, wanted: str | None) -> bool:
    return wanted is not None and compare_digest(given.encode(), wanted.encode())


def _milliseconds(text: str) -> int | None:
    """The browser's response time; None where it told none, or nonsense."""
    return min(int(text), LONGEST) if text.isascii() and text.isdigit() and len(text) < 16 else None
