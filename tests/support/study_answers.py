"""Answers of made-up people for the tests of the analysis: short to write, complete as rows."""

from study.analysis.answers import Row
from study.design.definition import Definition

PLACES = ("Big Ben", "Colosseum", "Petra", "Bab-e-Khyber", "Sydney Opera House")
ORDERS = {
    "buy": ("ti", "original", "lora"),
    "landmark": ("ti", "lora"),
    "style": ("lora", "ti"),
    "guess": ("ti", "lora"),
}
LETTERS = {"o": "original", "l": "lora", "t": "ti", "-": "none", "b": "both", "n": "neither", "u": "unsure"}


def study(**values):
    return Definition.checked({"landmarks": PLACES, **values})


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
            "repeats": None,
            "client_ms": 4000,
            "server_ms": 5000,
            **values,
        }
    )


def person(name, guess="", **answers):
    """A person's main answers, a letter a landmark, and guesses: `person("a", buy="lltl-", style="ll")`."""
    rows, seq = [], 0
    for kind, question, letters in (*(("main", *each) for each in answers.items()), ("guess", "guess", guess)):
        for landmark, letter in zip(PLACES, letters):
            seq += 1
            if letter != " ":
                rows.append(row(name, seq, question, letter, landmark, kind))
    return rows


def catch(participant, seq, right):
    """The answer to a question with a known answer."""
    given = 1 if right else 2
    return Row(participant, seq, "catch", "style", None, "image", None, given, ("right", "wrong"), 1, None, 4000, 5000)


def board(participant, **origins):
    """A person of the `paper` instrument: `board("a", buy="l", style="-")`."""
    return [
        row(participant, seq, question, letter, None, positions=("lora", "ti", "original") * 5)
        for seq, (question, letter) in enumerate(origins.items(), 16)
    ]
