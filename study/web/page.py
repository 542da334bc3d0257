"""The participant's page: plain HTML and a small script over the store; no state of its own, no Gradio.

Everything that a participant may see passes through here: words, headers and sizes are the same whatever the origin of
an image. `blindness` tests that.
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
from study.database.trials import INPUTS, MAX_RESPONSE_MS, CurrentTrial
from study.design.blind_image import MEDIA_TYPE
from study.replica.replication import ReplicaError
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
MENU_TEXTS = {
    "none": "None of them",
    "both": "In both",
    "neither": "In neither",
    "unsure": "I cannot tell",
    "seen": "I have looked at it",
}
QUESTION_TEXTS = {
    "buy": "Which of these pictures would you buy as artwork?",
    "landmark": "In which picture is {landmark} well preserved?",
    "style": "Which picture is closer in style to the four pictures above?",
    "blinding_check": "One of these was made by a method called LoRA. Which one, would you say?",
    "view": "Look at this picture as long as you like.",
}
BOARD_QUESTION_TEXTS = {
    "buy": "Which one of these pictures would you buy as artwork?",
    "landmark": "In which one of these pictures is the landmark preserved best?",
    "style": "Which one of these pictures is closest in style to the four pictures above?",
}


@cache
def _templates() -> Environment:
    return Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True)


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a rendered template as a response."""
    return HTMLResponse(_templates().get_template(template).render(**values), status, HEADERS)


def question_text(current: CurrentTrial) -> str:
    """Return the text of the question."""
    if current.block == "board":
        return BOARD_QUESTION_TEXTS[current.question]
    return QUESTION_TEXTS[current.question].format(landmark=current.landmark or "the landmark")


def beside_labels(current: CurrentTrial) -> tuple[str, str]:
    """Return (label, alternative text) of the images shown beside the options."""
    if current.question == "style":
        return "Four pictures in one style", "Style picture"
    if current.block == "board":
        return "Photographs of the five landmarks", "Photograph"
    return f"A photograph of {current.landmark}", f"Photograph of {current.landmark}"


def routes(find: Callable[[], Store], mode: str = "live", pilot_key: str | None = None) -> APIRouter:
    """Return routes under `/study` and `/study-img` for the study that `find` returns, or refuses with a StudyError.

    `mode` is the mode of new participants; with `pilot_key` in the address of the consent, they are pilots.
    """
    router = APIRouter(include_in_schema=False)

    def respond(
        request: Request, run: Callable[[], Response], back: str = "", link_text: str = "", retry: str = ""
    ) -> Response:
        try:
            return run()
        except ReplicaError as error:
            return render(
                "message.html",
                503,
                title="Study",
                root=root(request),
                heading="Not saved yet",
                text=_sentence(error),
                link=f"{root(request)}{retry or back}",
                link_text="Try again",
            )
        except StudyError as error:
            return render(
                "message.html",
                409,
                title="Study",
                root=root(request),
                heading="That did not work",
                text=_sentence(error),
                link=back and f"{root(request)}{back}",
                link_text=link_text,
            )

    def root(request: Request) -> str:
        return request.scope.get("root_path", "")

    def consent(request: Request, join_mode: str) -> Response:
        store = find()
        definition = store.definition()
        if (refusal := store.refusal(join_mode)) is not None:
            return render(
                "message.html",
                title=definition.title,
                root=root(request),
                heading=definition.title,
                text=_sentence(refusal),
                link=None,
            )
        # the personal link is created here, so that a second click on Begin gives the same participant
        action = f"{root(request)}/study/p/{token_urlsafe(24)}/begin"
        if join_mode == "pilot":
            action += f"?pilot={pilot_key}"
        return render(
            "consent.html",
            title=definition.title,
            root=root(request),
            consent=definition.consent,
            contact=definition.contact,
            action=action,
            pilot=join_mode == "pilot",
        )

    @router.get("/study")
    def start(request: Request, pilot: str = "") -> Response:
        """Show the consent."""
        return respond(request, lambda: consent(request, "pilot" if _matches(pilot, pilot_key) else mode))

    @router.post("/study/p/{token}/begin")
    def begin(request: Request, token: str, agree: str = Form(""), pilot: str = "") -> Response:
        """Join the study and go to the first question."""

        def run() -> Response:
            if agree != "yes":
                raise StudyError("you have not agreed to take part; go back and check the box")
            store = find()
            store.join("pilot" if _matches(pilot, pilot_key) else mode, store.definition().digest(), token)
            return RedirectResponse(f"{root(request)}/study/p/{token}", 303, HEADERS)

        return respond(request, run, retry=f"/study/p/{token}")

    @router.get("/study/p/{token}")
    def trial(request: Request, token: str) -> Response:
        """Show the current question, or the debrief."""
        return respond(request, lambda: show(request, token, find()), retry=f"/study/p/{token}")

    def show(request: Request, token: str, store: Store) -> Response:
        current = store.current(token)
        if current.done:
            definition = store.definition()
            return render(
                "debrief.html",
                title=definition.title,
                root=root(request),
                completion=current.completion_code,
                withdrawal=current.withdrawal_code,
                pilot=current.pilot,
                triad=definition.instrument == "triad",
            )
        label, alt = beside_labels(current)
        return render(
            "trial.html",
            title=f"Question {current.number} of {current.total}",
            root=root(request),
            token=token,
            number=current.number,
            total=current.total,
            practice=current.block == "practice",
            pilot=current.pilot,
            trial=current.trial_id,
            response=token_urlsafe(16),
            options=current.options,
            beside=current.shown,
            beside_label=label,
            beside_alt=alt,
            question=question_text(current),
            menu=[(word, MENU_TEXTS[word]) for word in current.menu],
            seen="seen" in current.menu,
            last=current.number == current.total,
            side=current.side,
        )

    @router.post("/study/p/{token}/shown")
    def shown(request: Request, token: str, trial: str = Form("")) -> Response:
        """Start the server's clock: all images are on the screen."""

        def run() -> Response:
            find().shown(token, trial)
            return Response(status_code=204, headers=HEADERS)

        return respond(request, run)

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
        """Store an answer and go to the current question, also if the answer was stored before."""

        def run() -> Response:
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

        return respond(request, run, f"/study/p/{token}", "Back to your question")

    @router.get("/study-img/{view}")
    def image(view: str) -> Response:
        """Send a blind copy. No header depends on the image: all copies have the same length."""
        try:
            return Response(find().image(view), 200, HEADERS, MEDIA_TYPE)
        except StudyError:
            return Response(status_code=404, headers=HEADERS)

    @router.get("/study/withdraw")
    def withdrawal_form(request: Request) -> Response:
        """Show the form for the withdrawal code."""
        return render("withdraw.html", title="Withdraw", root=root(request), message=None)

    @router.post("/study/withdraw")
    def withdraw(request: Request, code: str = Form("")) -> Response:
        """Delete the answers of a participant."""

        def run() -> Response:
            count = find().withdraw(code)
            answers = "answer" if count == 1 else "answers"
            message = f"Done. Deleted {count} {answers} and all related data."
            return render("withdraw.html", title="Withdraw", root=root(request), message=message)

        return respond(request, run, "/study/withdraw", "Try another code")

    @router.get("/study/static/{name}")
    def static(name: str) -> Response:
        """Send the style sheet or the script."""
        if name not in STATIC:
            return Response(status_code=404, headers=HEADERS)
        return Response((HERE / "static" / name).read_bytes(), 200, HEADERS, STATIC[name])

    return router


def _matches(given: str, secret: str | None) -> bool:
    return secret is not None and compare_digest(given.encode(), secret.encode())


def _sentence(message: object) -> str:
    text = str(message)
    return f"{text[0].upper()}{text[1:]}."


def _milliseconds(text: str) -> int | None:
    """Return the browser's response time; None if it sent none or no number."""
    return min(int(text), MAX_RESPONSE_MS) if text.isascii() and text.isdigit() and len(text) < 16 else None
