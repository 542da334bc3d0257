"""Answers of invented participants for the tests of the analysis: short to write, complete as rows."""

from study.analysis.answers import Row
from study.design.definition import Definition

LANDMARKS = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")
ORDERS = {
    "buy": ("ti", "original", "lora"),
    "landmark": ("ti", "lora"),
    "style": ("lora", "ti"),
    "blinding_check": ("ti", "lora"),
}
LETTERS = {"o": "original", "l": "lora", "t": "ti", "-": "none", "b": "both", "n": "neither", "u": "unsure"}


def study_definition(**values):
    return Definition.checked({"landmarks": LANDMARKS, **values})


def row(participant, seq, question, letter, landmark, kind="main", positions=None, **values):
    """One response; the letter says what was chosen: o l t - b n u."""
    choice, positions = LETTERS[letter], positions or ORDERS[question]
    origin = choice if choice in ("original", "lora", "ti") else None
    return Row(
        **{
            "participant": participant,
            "seq": seq,
            "kind": kind,
            "question": question,
            "landmark": landmark,
            "choice": "image" if origin else choice,
            "origin": origin,
            "position": positions.index(origin) + 1 if origin else None,
            "positions": positions,
            "answer": None,
            "retest_of": None,
            "client_ms": 4000,
            "server_ms": 5000,
            **values,
        }
    )


def participant_rows(name, blinding_check="", **answers):
    """A participant's main answers, one letter per landmark, and the blinding check.

    `participant_rows("a", buy="lltl-", style="ll")`.
    """
    blocks = [("main", question, letters) for question, letters in answers.items()]
    blocks.append(("blinding_check", "blinding_check", blinding_check))
    rows, seq = [], 0
    for kind, question, letters in blocks:
        for landmark, letter in zip(LANDMARKS, letters):
            seq += 1
            if letter != " ":
                rows.append(row(name, seq, question, letter, landmark, kind))
    return rows


def attention_check(participant, seq, right):
    """The answer to an attention check."""
    position = 1 if right else 2
    return Row(
        participant,
        seq,
        "attention_check",
        "style",
        None,
        "image",
        None,
        position,
        ("right", "wrong"),
        1,
        None,
        4000,
        5000,
    )


def board_rows(participant, **origins):
    """A participant of the `paper` instrument: `board_rows("a", buy="l", style="-")`."""
    return [
        row(participant, seq, question, letter, None, positions=("lora", "ti", "original") * 5)
        for seq, (question, letter) in enumerate(origins.items(), 16)
    ]
