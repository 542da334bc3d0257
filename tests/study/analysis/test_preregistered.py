"""Rows in, one dict out: made-up people whose numbers can be counted by hand, and every way of having too few."""

import ast
import json
import random
from dataclasses import replace
from pathlib import Path

import krippendorff
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa as statsmodels_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_effectsize

from study import StudyError
from study.analysis import preregistered
from study.analysis.answers import FEWEST_POSITIONS, Answers
from study.analysis.paper import paper_counts
from study.analysis.preregistered import analysis_sha256, analyze, planned_power
from study.analysis.statistics import bootstrap_mean, proportion, sign_flip
from tests.support.study_answers import PLACES, board, catch, person, row, study

EIGHT = {
    "a": {"buy": "lllll", "landmark": "llbbn", "style": "lllll"},
    "b": {"buy": "lllo-", "landmark": "llltb", "style": "llllt"},
    "c": {"buy": "lloo-", "landmark": "bbbbb", "style": "llltt"},
    "d": {"buy": "ltooo", "landmark": "nnnnn", "style": "lltll"},
    "e": {"buy": "tto--", "landmark": "ttnbl", "style": "ttttl"},
    "f": {"buy": "llto-", "landmark": "ltbnl", "style": "lltlt"},
    "g": {"buy": "-----", "landmark": "lllbb", "style": "tlltt"},
    "h": {"buy": "oooll", "landmark": "lnbtl", "style": "lltll"},
}


def people(answers=EIGHT, **more):
    return [one for name, given in answers.items() for one in person(name, **given, **more)]


@pytest.fixture(scope="module")
def eight():
    return analyze(study(), people())["all"]


def plain(result):
    """What a JSON file would hold; a nan raises."""
    return json.loads(json.dumps(result, allow_nan=False))


def test_the_result_is_json_and_the_same_for_the_same_answers():
    rows = people(guess="lltlu")
    told = analyze(study(), rows)
    assert plain(told) == told
    random.Random(0).shuffle(rows)
    assert analyze(study(), rows) == told


def test_each_person_is_one_number(eight):
    told = eight["questions"]["buy"]["lora_minus_ti"]
    fifths = [5, 3, 2, 0, -2, 1, 0, 2]
    assert told == {
        "people": 8,
        "mean": pytest.approx(sum(fifths) / 40),
        "interval": bootstrap_mean([value / 5 for value in fifths], 0),
        "p": pytest.approx(stats.permutation_test((fifths,), sum, permutation_type="samples", vectorized=False).pvalue),
        "smallest_p": 2**-5,
        "opinions": 6,
        "wilcoxon_p": pytest.approx(
            stats.wilcoxon([5, 3, 2, -2, 1, 2], method=stats.PermutationMethod(n_resamples=99_999)).pvalue
        ),
        "rank_biserial": pytest.approx((6 + 5 + 3 + 1 + 3 - 3) / 21),
        "leaning": {"first": 5, "second": 1, "neither": 2, "p": pytest.approx(stats.binomtest(5, 6).pvalue)},
    }


def test_both_counts_for_both_methods(eight):
    told = eight["questions"]["landmark"]
    yes = {"lora": [4, 4, 5, 0, 2, 3, 5, 3], "ti": [2, 2, 5, 0, 3, 2, 2, 2]}
    for method, counts in yes.items():
        assert told["recognizable"][method] == {
            "mean": pytest.approx(sum(counts) / 40),
            "interval": bootstrap_mean([count / 5 for count in counts], 0),
        }
    differences = [one - two for one, two in zip(yes["lora"], yes["ti"])]
    assert told["lora_minus_ti"]["mean"] == pytest.approx(sum(differences) / 40)
    assert told["lora_minus_ti"]["p"] == sign_flip(differences)
    assert told["counts"] == {"lora": 13, "ti": 5, "both": 13, "neither": 9}


def test_cochrans_q_asks_whether_the_landmark_matters(eight):
    yes = [[letter in "lb" for letter in given["landmark"]] for given in EIGHT.values()]
    theirs = stats.friedmanchisquare(*[[int(one) for one in column] for column in zip(*yes)])
    assert eight["questions"]["landmark"]["cochran"]["lora"] == {
        "statistic": pytest.approx(theirs.statistic),
        "df": 4,
        "p": pytest.approx(theirs.pvalue),
        "people": 8,
    }
    assert "cochran" not in eight["questions"]["buy"]


def test_a_landmark_by_itself_is_one_answer_a_person(eight):
    tests = [place["lora_vs_ti"] for place in eight["questions"]["landmark"]["landmarks"].values()]
    columns = list(zip(*(given["landmark"] for given in EIGHT.values())))
    assert [(test["lora"], test["ti"]) for test in tests] == [(one.count("l"), one.count("t")) for one in columns]
    p = [stats.binomtest(test["lora"], test["lora"] + test["ti"]).pvalue for test in tests]
    assert [test["p"] for test in tests] == pytest.approx(p)
    assert [test["p_holm"] for test in tests] == pytest.approx(multipletests(p, method="holm")[1])
    first = eight["questions"]["landmark"]["landmarks"][PLACES[0]]
    assert first["people"] == 8
    assert first["shares"]["lora"] == proportion(columns[0].count("l"), 8)
    assert first["recognizable"]["ti"] == proportion(columns[0].count("t") + columns[0].count("b"), 8)


def test_the_original_takes_part_where_it_is_shown(eight):
    buy = eight["questions"]["buy"]
    assert buy["counts"] == {"original": 11, "lora": 15, "ti": 4, "none": 10}
    assert buy["shares"]["original"]["mean"] == pytest.approx(11 / 40)
    assert buy["lora_minus_original"]["p"] == sign_flip([5, 2, 0, -2, -1, 1, 0, -1])
    assert buy["ti_minus_original"]["mean"] == pytest.approx((4 - 11) / 40)
    assert "lora_minus_original" not in eight["questions"]["style"]


def test_each_person_has_shares_of_their_own(eight):
    wilson = stats.binomtest(3, 5).proportion_ci(method="wilson")
    assert eight["questions"]["buy"]["participants"][1] == {
        "participant": "b",
        "answers": 5,
        "lora": {"count": 3, "share": 0.6, "interval": pytest.approx([wilson.low, wilson.high])},
        "ti": {"count": 0, "share": 0.0, "interval": proportion(0, 5)["wilson"]},
    }


def test_people_are_raters_of_five_landmarks(eight):
    for question, letters in (("buy", "olt-"), ("landmark", "ltbn"), ("style", "lt")):
        ratings = [[letters.index(letter) for letter in given[question]] for given in EIGHT.values()]
        theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement="nominal")
        assert eight["questions"][question]["krippendorff_alpha"] == pytest.approx(theirs)


def test_holm_is_over_the_three_questions(eight):
    questions = eight["questions"].values()
    p = [told["p"] for told in questions]
    assert p == [told["lora_minus_ti"]["p"] for told in questions]
    assert [told["p_holm"] for told in questions] == pytest.approx(multipletests(p, method="holm")[1])


def test_repeats_are_compared_with_what_they_repeat():
    rows = people()
    second = {"a": "l", "b": "l", "c": "t", "d": "l", "e": "-", "f": "l", "g": "-", "h": "o"}  # c and e think again
    rows += [row(name, 40, "buy", letter, PLACES[0], "repeat", repeats=1) for name, letter in second.items()]
    rows += [row(name, 41, "style", "l", PLACES[0], "repeat", repeats=99) for name in "ab"]  # of an unanswered trial
    told = analyze(study(), rows)["all"]
    assert told["questions"]["buy"]["repeats"]["agreed"] == proportion(6, 8)
    square = [[4, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]  # first by second: l t - o
    assert told["questions"]["buy"]["repeats"]["kappa"] == pytest.approx(statsmodels_kappa(square).kappa)
    assert told["questions"]["style"]["repeats"] == {"agreed": proportion(0, 0), "kappa": None}
    assert told["agreement"] == {"people": 8, "mean": 0.75, "interval": bootstrap_mean([1, 1, 0, 1, 0, 1, 1, 1], 0)}


def test_positions_are_counted_by_person(eight):
    assert eight["questions"]["buy"]["positions"]["counts"] == [4, 11, 15]  # ti, original, lora stand in this order
    assert eight["questions"]["buy"]["positions"]["statistic"] == pytest.approx(stats.chisquare([4, 11, 15]).statistic)
    assert 0 < eight["questions"]["buy"]["positions"]["p"] < 1


def test_times_are_told_in_seconds_by_both_clocks():
    rows = [replace(one, client_ms=1000 * one.seq, server_ms=None) for one in person("a", style="lltlt")]
    told = analyze(study(), rows)["all"]["questions"]["style"]["seconds"]
    assert told == {
        "client": {"n": 5, "median": 3.0, "quartiles": [2.0, 4.0]},
        "server": {"n": 0, "median": None, "quartiles": None},
    }


def test_the_guesses_say_how_blind_it_was():
    right = {"a": "lllll", "b": "llllt", "c": "lllut", "d": "lttuu", "e": "llltt", "f": "lluuu", "g": "uuuuu", "h": "l"}
    told = analyze(study(), [one for name, guess in right.items() for one in person(name, buy="l", guess=guess)])
    sixtieths = [60, 36, 30, -20, 12, 60, 60]
    assert told["all"]["guess"] == {
        "people": 7,
        "answers": 36,
        "unsure": pytest.approx(11 / 36),
        "right": {
            "mean": pytest.approx((1 + sum(sixtieths) / 420) / 2),
            "interval": pytest.approx([(1 + end) / 2 for end in bootstrap_mean([one / 60 for one in sixtieths], 0)]),
        },
        "p": pytest.approx(6 / 128),  # at least as far from even: all alike, all but d, all but e; either way round
        "smallest_p": 2**-6,
        "opinions": 7,
    }


def test_who_is_left_out_and_why():
    rows = people({name: EIGHT[name] for name in "bcde"})
    rows += [catch("b", 50, True), catch("b", 51, False), catch("c", 50, True)]
    rows = [replace(one, client_ms=1200) if one.participant == "d" else one for one in rows]
    rows = [replace(one, client_ms=None, server_ms=1499) if one.participant == "e" else one for one in rows]
    rows += person("sides", landmark="ttttt", style="lllll")
    told = analyze(study(), rows)
    assert told["excluded"] == [
        {"participant": "b", "why": ["1 of 2 questions with a known answer wrong; 0 may be"]},
        {"participant": "d", "why": ["median 1.20 s an answer; at least 1.5 s are asked for"]},
        {"participant": "e", "why": ["median 1.50 s an answer; at least 1.5 s are asked for"]},
        {"participant": "sides", "why": ["10 of 10 answers at position 1; at most 90% may be"]},
    ]
    assert told["all"]["people"] == 5
    assert told["kept"] == analyze(study(), [one for one in rows if one.participant == "c"])["all"]
    assert told["all"]["catches"] == {"people": 2, "answers": 3, "wrong": 1}


def test_the_rules_are_the_definitions():
    rows = [*people({"a": EIGHT["c"]}), catch("a", 50, False)]
    assert analyze(study(exclusions={"max_wrong_catches": 1}), rows)["excluded"] == []
    hasty = analyze(study(exclusions={"max_wrong_catches": 1, "min_median_seconds": 4.01}), rows)["excluded"]
    assert hasty == [{"participant": "a", "why": ["median 4.00 s an answer; at least 4.01 s are asked for"]}]
    few = person("a", style="lllll", landmark="tttt")
    assert len(few) == FEWEST_POSITIONS - 1
    assert analyze(study(), few)["excluded"] == [], "nine answers prove no habit"


def test_without_anybody_to_leave_out_both_analyses_are_one():
    told = analyze(study(), people())
    assert told["excluded"] == []
    assert told["kept"] == told["all"]


def test_somebody_who_stopped_counts_with_what_was_answered():
    """Three answers of a person are thirds, not fifths."""
    told = analyze(study(), people() + person("i", buy="llt") + person("j", buy=" t "))["all"]
    buy = told["questions"]["buy"]
    assert (buy["people"], buy["partial"], buy["answers"], told["questions"]["style"]["people"]) == (10, 2, 44, 8)
    sixtieths = [60, 36, 24, 0, -24, 12, 0, 24, 20, -60]
    assert buy["lora_minus_ti"]["mean"] == pytest.approx(sum(sixtieths) / 600)
    assert buy["lora_minus_ti"]["p"] == sign_flip(sixtieths)
    assert (
        analyze(study(), people() + person("i", landmark="ll"))["all"]["questions"]["landmark"]["cochran"]["ti"][
            "people"
        ]
        == 8
    ), "Cochran's Q knows no gaps"


def test_practice_catch_and_view_answers_are_no_votes():
    rows = people()
    extra = [
        row("a", 60, "buy", "t", "Elsewhere", "practice"),
        row("z", 1, "buy", "t", None, "practice"),
        catch("a", 61, True),
        replace(row("a", 62, "buy", "-", PLACES[0], "view"), choice="seen"),
    ]
    told, without = analyze(study(), rows + extra)["all"], analyze(study(), rows)["all"]
    assert told["questions"] == without["questions"]
    assert told["people"] == 8, "who only practised did not take part"


EMPTY = {
    "nobody": [],
    "one": person("a", buy="lllll", landmark="lllll", style="lllll", guess="lllll"),
    "two": person("a", buy="lllll", landmark="l", style="l") + person("b", buy="ttttt", style="llttl"),
    "nobody chose either": [one for name in "abcdefgh" for one in person(name, buy="oo---", landmark="bbnnb")],
    "all alike": [one for name in "abcdefgh" for one in person(name, buy="lllll", landmark="lllll", style="lllll")],
    "all unsure": [one for name in "abcdefgh" for one in person(name, style="l", guess="uuuuu")],
    "no times": [replace(one, client_ms=None, server_ms=None) for one in people()],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", EMPTY.values(), ids=EMPTY)
def test_however_little_there_is_nothing_breaks_and_nothing_is_a_nan(rows):
    told = analyze(study(), rows)
    assert plain(told) == told


def test_nobody_has_no_power_and_no_mean():
    told = analyze(study(), [])
    assert told["power"]["reached"] is None
    assert told["all"]["guess"] == {
        "people": 0,
        "answers": 0,
        "unsure": None,
        "right": {"mean": None, "interval": None},
        "p": None,
        "smallest_p": None,
        "opinions": 0,
    }
    assert told["all"]["questions"]["style"]["lora_minus_ti"] == {
        "people": 0,
        "mean": None,
        "interval": None,
        "p": None,
        "smallest_p": None,
        "opinions": 0,
        "wilcoxon_p": None,
        "rank_biserial": None,
        "leaning": {"first": 0, "second": 0, "neither": 0, "p": None},
    }


def test_two_people_can_prove_nothing():
    told = analyze(study(), EMPTY["two"])["all"]["questions"]["buy"]
    assert (told["p"], told["smallest_p"], told["lora_minus_ti"]["interval"]) == (1.0, 0.5, None)


def test_where_nobody_chose_either_method_no_p_is_told():
    questions = analyze(study(), EMPTY["nobody chose either"])["all"]["questions"]
    assert [questions[name]["p_holm"] for name in ("buy", "landmark", "style")] == [None, None, None]
    assert questions["buy"]["lora_minus_ti"]["mean"] == 0.0
    assert questions["landmark"]["recognizable"]["lora"] == {"mean": 0.6, "interval": None}


def test_people_all_alike_have_a_p_but_no_bootstrap():
    told = analyze(study(), EMPTY["all alike"])["all"]["questions"]["style"]
    assert (told["p"], told["p_holm"]) == (2**-7, pytest.approx(3 * 2**-7))
    assert told["lora_minus_ti"]["mean"] == 1.0
    assert told["lora_minus_ti"]["interval"] is None
    assert told["krippendorff_alpha"] is None
    assert told["landmarks"][PLACES[0]]["shares"]["lora"] == proportion(8, 8)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            row("a", 30, "buy", "l", PLACES[0]),
            "participant a answered trial 30 (buy, Big Ben) twice; keep one of the two rows",
        ),
        (
            row("a", 1, "guess", "u", PLACES[1], "guess"),
            "participant a answered trial 1 (guess, Colosseum) twice; keep one of the two rows",
        ),
        (row("k", 1, "guess", "l", PLACES[0]), "an answer is to 'guess'; the questions are buy, landmark, style"),
        (row("k", 1, "buy", "l", "Elsewhere"), f"an answer is about 'Elsewhere'; the study knows {', '.join(PLACES)}"),
        (
            replace(row("k", 1, "buy", "l", PLACES[0]), origin="base"),
            "a chosen picture is of origin 'base'; the origins are original, lora, ti",
        ),
    ],
)
def test_rows_that_would_count_wrongly_are_told(extra, sentence):
    with pytest.raises(StudyError) as told:
        Answers(study(), [*person("a", buy="lllll"), extra])
    assert str(told.value) == sentence


def test_the_power_is_told_with_the_plan():
    told = planned_power(study(participants=50))
    assert {name: round(value, 2) for name, value in told.items()} == {
        "n": 50,
        "alpha": 0.02,
        "70:30": 0.68,
        "75:25": 0.90,
        "80:20": 0.99,
    }
    assert analyze(study(), people())["power"] == {
        "planned": planned_power(study()),
        "reached": planned_power(study(participants=8)),
    }


# the published study and its instrument


def test_the_papers_numbers_come_out():
    questions = paper_counts()["all"]["questions"]
    style, landmark, buy = questions["style"], questions["landmark"], questions["buy"]
    assert f"{style['p']:.0e}" == "2e-05"
    assert [round(100 * end) for end in style["lora"]["clopper_pearson"]] == [66, 90]
    assert style["cohens_h"] == pytest.approx(proportion_effectsize(0.8, 0.5))
    assert round(landmark["lora_vs_none"]["p"], 2) == 0.55
    assert landmark["p"] == pytest.approx(stats.binomtest(20, 25).pvalue)
    assert (buy["either"], buy["counts"]["none"]) == (45, 5)
    assert buy["p"] == pytest.approx(2**-44)
    assert buy["chi_square"]["statistic"] == pytest.approx(stats.chisquare([45, 0, 5]).statistic)
    p = [told["p"] for told in questions.values()]
    assert [told["p_holm"] for told in questions.values()] == pytest.approx(multipletests(p, method="holm")[1])
    assert all(told["people"] == 50 for told in questions.values())


def test_a_board_is_one_answer_a_person():
    answers = ["l"] * 6 + ["t"] * 2 + ["o"] * 3 + ["-"]
    rows = [one for number, letter in enumerate(answers) for one in board(f"p{number}", buy=letter, style="l")]
    result = analyze(study(instrument="paper"), rows)
    told = result["all"]["questions"]["buy"]
    assert plain(result) == result
    assert told["counts"] == {"original": 3, "lora": 6, "ti": 2, "none": 1}
    assert told["lora"] == proportion(6, 8)
    assert told["p"] == pytest.approx(stats.binomtest(6, 8).pvalue)
    assert told["lora_vs_none"] == {"lora": 6, "none": 1, "p": pytest.approx(stats.binomtest(6, 7).pvalue)}
    theirs = stats.chisquare([3, 6, 2, 1], [12 * share / 16 for share in (5, 5, 5, 1)])
    assert told["chi_square"] == {
        "statistic": pytest.approx(theirs.statistic),
        "df": 3,
        "p": pytest.approx(theirs.pvalue),
        "smallest_expected": 0.75,
    }
    assert told["positions"]["counts"] == [6, 2, 3, *[0] * 12]
    assert result["all"]["questions"]["style"]["p"] == pytest.approx(2**-11)
    nothing = {"original": 0, "lora": 0, "ti": 0, "none": 0}
    assert result["all"]["questions"]["landmark"] == {
        "people": 0,
        "counts": nothing,
        "either": 0,
        "lora": proportion(0, 0),
        "p": None,
        "p_holm": None,
        "smallest_p": None,
        "cohens_h": None,
        "shares": dict.fromkeys(nothing, proportion(0, 0)),
        "menu": {"original": 5, "lora": 5, "ti": 5, "none": 1},
        "chi_square": {"statistic": None, "df": 3, "p": None, "smallest_expected": None},
        "lora_vs_none": {"lora": 0, "none": 0, "p": None},
        "ti_vs_none": {"ti": 0, "none": 0, "p": None},
        "repeats": {"agreed": proportion(0, 0), "kappa": None},
        "positions": {"counts": [], "statistic": None, "p": None},
        "seconds": {clock: {"n": 0, "median": None, "quartiles": None} for clock in ("client", "server")},
    }


# what is locked


def test_the_lock_holds_every_file_that_decides_the_result():
    folder = Path(preregistered.__file__).parent
    assert len(analysis_sha256()) == 64
    assert list(preregistered.MODULES) == sorted(preregistered.MODULES)
    for room in preregistered.MODULES:
        for node in ast.walk(ast.parse((folder / room).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "study":
                used = {f"{name.name}.py" for name in node.names if (folder / f"{name.name}.py").exists()}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("study."):
                used = {f"{node.module.removeprefix('study.')}.py"}
            else:
                continue
            assert used <= {*preregistered.MODULES, "definition.py"}, "the definition is locked by its own digest"


def test_the_lock_sees_every_change_but_that_of_line_ends(tmp_path, monkeypatch):
    folder = Path(preregistered.__file__).parent
    before = analysis_sha256()
    for room in preregistered.MODULES:
        (tmp_path / room).write_bytes((folder / room).read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr(preregistered, "__file__", str(tmp_path / "analysis.py"))
    assert analysis_sha256() == before
    seen = {before}
    for room in preregistered.MODULES:
        with (tmp_path / room).open("ab") as file:
            file.write(b"#")
        seen.add(analysis_sha256())
    assert len(seen) == len(preregistered.MODULES) + 1
