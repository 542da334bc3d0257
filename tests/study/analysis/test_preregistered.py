"""The preregistered analysis on invented answers that can be counted by hand, and on too few answers."""

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
from study.analysis.answers import MIN_POSITION_ANSWERS, Answers
from study.analysis.paper import paper_counts
from study.analysis.preregistered import analysis_sha256, analyze, planned_power
from study.analysis.statistics import bootstrap_mean, proportion, sign_flip
from tests.support.study_answers import LANDMARKS, attention_check, board_rows, participant_rows, row, study_definition

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


def rows_of(answers=EIGHT, **more):
    return [row for name, given in answers.items() for row in participant_rows(name, **given, **more)]


@pytest.fixture(scope="module")
def eight():
    return analyze(study_definition(), rows_of())["all"]


def plain(result):
    """What a JSON file would hold; a nan raises."""
    return json.loads(json.dumps(result, allow_nan=False))


def test_the_result_is_json_and_the_same_for_the_same_answers():
    rows = rows_of(blinding_check="lltlu")
    result = analyze(study_definition(), rows)
    assert plain(result) == result
    random.Random(0).shuffle(rows)
    assert analyze(study_definition(), rows) == result


def test_each_participant_gives_one_number(eight):
    result = eight["questions"]["buy"]["lora_minus_ti"]
    fifths = [5, 3, 2, 0, -2, 1, 0, 2]
    assert result == {
        "participants": 8,
        "mean": pytest.approx(sum(fifths) / 40),
        "interval": bootstrap_mean([value / 5 for value in fifths], 0),
        "p": pytest.approx(stats.permutation_test((fifths,), sum, permutation_type="samples", vectorized=False).pvalue),
        "min_attainable_p": 2**-5,
        "nonzero": 6,
        "wilcoxon_p": pytest.approx(
            stats.wilcoxon([5, 3, 2, -2, 1, 2], method=stats.PermutationMethod(n_resamples=99_999)).pvalue
        ),
        "rank_biserial": pytest.approx((6 + 5 + 3 + 1 + 3 - 3) / 21),
        "sign_test": {"positive": 5, "negative": 1, "zero": 2, "p": pytest.approx(stats.binomtest(5, 6).pvalue)},
    }


def test_the_answer_both_counts_for_both_methods(eight):
    result = eight["questions"]["landmark"]
    yes = {"lora": [4, 4, 5, 0, 2, 3, 5, 3], "ti": [2, 2, 5, 0, 3, 2, 2, 2]}
    for method, counts in yes.items():
        assert result["recognizable"][method] == {
            "mean": pytest.approx(sum(counts) / 40),
            "interval": bootstrap_mean([count / 5 for count in counts], 0),
        }
    differences = [one - two for one, two in zip(yes["lora"], yes["ti"])]
    assert result["lora_minus_ti"]["mean"] == pytest.approx(sum(differences) / 40)
    assert result["lora_minus_ti"]["p"] == sign_flip(differences)
    assert result["counts"] == {"lora": 13, "ti": 5, "both": 13, "neither": 9}


def test_cochrans_q_tests_whether_the_landmark_matters(eight):
    yes = [[letter in "lb" for letter in given["landmark"]] for given in EIGHT.values()]
    theirs = stats.friedmanchisquare(*[[int(one) for one in column] for column in zip(*yes)])
    assert eight["questions"]["landmark"]["cochrans_q"]["lora"] == {
        "statistic": pytest.approx(theirs.statistic),
        "df": 4,
        "p": pytest.approx(theirs.pvalue),
        "participants": 8,
    }
    assert "cochrans_q" not in eight["questions"]["buy"]


def test_a_single_landmark_has_one_answer_per_participant(eight):
    tests = [entry["lora_vs_ti"] for entry in eight["questions"]["landmark"]["by_landmark"].values()]
    columns = list(zip(*(given["landmark"] for given in EIGHT.values())))
    assert [(test["lora"], test["ti"]) for test in tests] == [(one.count("l"), one.count("t")) for one in columns]
    p = [stats.binomtest(test["lora"], test["lora"] + test["ti"]).pvalue for test in tests]
    assert [test["p"] for test in tests] == pytest.approx(p)
    assert [test["p_holm"] for test in tests] == pytest.approx(multipletests(p, method="holm")[1])
    first = eight["questions"]["landmark"]["by_landmark"][LANDMARKS[0]]
    assert first["participants"] == 8
    assert first["shares"]["lora"] == proportion(columns[0].count("l"), 8)
    assert first["recognizable"]["ti"] == proportion(columns[0].count("t") + columns[0].count("b"), 8)


def test_the_original_is_compared_where_it_is_an_option(eight):
    buy = eight["questions"]["buy"]
    assert buy["counts"] == {"original": 11, "lora": 15, "ti": 4, "none": 10}
    assert buy["shares"]["original"]["mean"] == pytest.approx(11 / 40)
    assert buy["lora_minus_original"]["p"] == sign_flip([5, 2, 0, -2, -1, 1, 0, -1])
    assert buy["ti_minus_original"]["mean"] == pytest.approx((4 - 11) / 40)
    assert "lora_minus_original" not in eight["questions"]["style"]


def test_every_participant_has_shares(eight):
    wilson = stats.binomtest(3, 5).proportion_ci(method="wilson")
    assert eight["questions"]["buy"]["by_participant"][1] == {
        "participant": "b",
        "answers": 5,
        "lora": {"count": 3, "share": 0.6, "interval": pytest.approx([wilson.low, wilson.high])},
        "ti": {"count": 0, "share": 0.0, "interval": proportion(0, 5)["wilson"]},
    }


def test_krippendorffs_alpha_is_over_five_landmarks(eight):
    for question, letters in (("buy", "olt-"), ("landmark", "ltbn"), ("style", "lt")):
        ratings = [[letters.index(letter) for letter in given[question]] for given in EIGHT.values()]
        theirs = krippendorff.alpha(reliability_data=ratings, level_of_measurement="nominal")
        assert eight["questions"][question]["krippendorff_alpha"] == pytest.approx(theirs)


def test_holm_is_over_the_three_questions(eight):
    questions = eight["questions"].values()
    p = [question["p"] for question in questions]
    assert p == [question["lora_minus_ti"]["p"] for question in questions]
    assert [question["p_holm"] for question in questions] == pytest.approx(multipletests(p, method="holm")[1])


def test_retests_are_compared_with_the_first_answer():
    rows = rows_of()
    second = {"a": "l", "b": "l", "c": "t", "d": "l", "e": "-", "f": "l", "g": "-", "h": "o"}  # c and e think again
    rows += [row(name, 40, "buy", letter, LANDMARKS[0], "retest", retest_of=1) for name, letter in second.items()]
    rows += [
        row(name, 41, "style", "l", LANDMARKS[0], "retest", retest_of=99) for name in "ab"
    ]  # of an unanswered trial
    result = analyze(study_definition(), rows)["all"]
    assert result["questions"]["buy"]["retest"]["agreed"] == proportion(6, 8)
    square = [[4, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]  # first by second: l t - o
    assert result["questions"]["buy"]["retest"]["kappa"] == pytest.approx(statsmodels_kappa(square).kappa)
    assert result["questions"]["style"]["retest"] == {"agreed": proportion(0, 0), "kappa": None}
    assert result["retest_agreement"] == {
        "participants": 8,
        "mean": 0.75,
        "interval": bootstrap_mean([1, 1, 0, 1, 0, 1, 1, 1], 0),
    }


def test_positions_are_counted_by_participant(eight):
    assert eight["questions"]["buy"]["positions"]["counts"] == [4, 11, 15]  # ti, original, lora stand in this order
    assert eight["questions"]["buy"]["positions"]["statistic"] == pytest.approx(stats.chisquare([4, 11, 15]).statistic)
    assert 0 < eight["questions"]["buy"]["positions"]["p"] < 1


def test_times_are_in_seconds_by_both_clocks():
    rows = [replace(row, client_ms=1000 * row.seq, server_ms=None) for row in participant_rows("a", style="lltlt")]
    result = analyze(study_definition(), rows)["all"]["questions"]["style"]["seconds"]
    assert result == {
        "client": {"n": 5, "median": 3.0, "quartiles": [2.0, 4.0]},
        "server": {"n": 0, "median": None, "quartiles": None},
    }


def test_the_blinding_check_counts_correct_guesses():
    right = {"a": "lllll", "b": "llllt", "c": "lllut", "d": "lttuu", "e": "llltt", "f": "lluuu", "g": "uuuuu", "h": "l"}
    result = analyze(
        study_definition(),
        [row for name, letters in right.items() for row in participant_rows(name, buy="l", blinding_check=letters)],
    )
    sixtieths = [60, 36, 30, -20, 12, 60, 60]
    assert result["all"]["blinding_check"] == {
        "participants": 7,
        "answers": 36,
        "unsure": pytest.approx(11 / 36),
        "correct": {
            "mean": pytest.approx((1 + sum(sixtieths) / 420) / 2),
            "interval": pytest.approx([(1 + end) / 2 for end in bootstrap_mean([one / 60 for one in sixtieths], 0)]),
        },
        "p": pytest.approx(6 / 128),  # at least as far from even: all alike, all but d, all but e; either way round
        "min_attainable_p": 2**-6,
        "nonzero": 7,
    }


def test_who_is_excluded_and_why():
    rows = rows_of({name: EIGHT[name] for name in "bcde"})
    rows += [attention_check("b", 50, True), attention_check("b", 51, False), attention_check("c", 50, True)]
    rows = [replace(one, client_ms=1200) if one.participant == "d" else one for one in rows]
    rows = [replace(one, client_ms=None, server_ms=1499) if one.participant == "e" else one for one in rows]
    rows += participant_rows("sides", landmark="ttttt", style="lllll")
    result = analyze(study_definition(), rows)
    assert result["excluded"] == [
        {"participant": "b", "reasons": ["1 of 2 attention checks wrong; at most 0 allowed"]},
        {"participant": "d", "reasons": ["median of 1.20 s per answer; at least 1.5 s required"]},
        {"participant": "e", "reasons": ["median of 1.50 s per answer; at least 1.5 s required"]},
        {"participant": "sides", "reasons": ["10 of 10 answers at position 1; at most 90% allowed"]},
    ]
    assert result["all"]["participants"] == 5
    assert (
        result["after_exclusions"]
        == analyze(study_definition(), [one for one in rows if one.participant == "c"])["all"]
    )
    assert result["all"]["attention_checks"] == {"participants": 2, "answers": 3, "wrong": 1}


def test_the_exclusion_rules_come_from_the_definition():
    rows = [*rows_of({"a": EIGHT["c"]}), attention_check("a", 50, False)]
    assert analyze(study_definition(exclusions={"max_failed_attention_checks": 1}), rows)["excluded"] == []
    hasty = analyze(study_definition(exclusions={"max_failed_attention_checks": 1, "min_median_seconds": 4.01}), rows)[
        "excluded"
    ]
    assert hasty == [{"participant": "a", "reasons": ["median of 4.00 s per answer; at least 4.01 s required"]}]
    few = participant_rows("a", style="lllll", landmark="tttt")
    assert len(few) == MIN_POSITION_ANSWERS - 1
    assert analyze(study_definition(), few)["excluded"] == [], "nine answers do not prove a position bias"


def test_without_exclusions_both_parts_are_equal():
    result = analyze(study_definition(), rows_of())
    assert result["excluded"] == []
    assert result["after_exclusions"] == result["all"]


def test_a_participant_who_stopped_counts_with_the_given_answers():
    """Three answers of a participant are thirds, not fifths."""
    result = analyze(
        study_definition(), rows_of() + participant_rows("i", buy="llt") + participant_rows("j", buy=" t ")
    )["all"]
    buy = result["questions"]["buy"]
    assert (buy["participants"], buy["partial"], buy["answers"], result["questions"]["style"]["participants"]) == (
        10,
        2,
        44,
        8,
    )
    sixtieths = [60, 36, 24, 0, -24, 12, 0, 24, 20, -60]
    assert buy["lora_minus_ti"]["mean"] == pytest.approx(sum(sixtieths) / 600)
    assert buy["lora_minus_ti"]["p"] == sign_flip(sixtieths)
    assert (
        analyze(study_definition(), rows_of() + participant_rows("i", landmark="ll"))["all"]["questions"]["landmark"][
            "cochrans_q"
        ]["ti"]["participants"]
        == 8
    ), "Cochran's Q allows no gaps"


def test_practice_attention_check_and_view_answers_do_not_count():
    rows = rows_of()
    extra = [
        row("a", 60, "buy", "t", "Elsewhere", "practice"),
        row("z", 1, "buy", "t", None, "practice"),
        attention_check("a", 61, True),
        replace(row("a", 62, "buy", "-", LANDMARKS[0], "view"), choice="seen"),
    ]
    result, without = analyze(study_definition(), rows + extra)["all"], analyze(study_definition(), rows)["all"]
    assert result["questions"] == without["questions"]
    assert result["participants"] == 8, "who only practiced does not count"


EMPTY = {
    "nobody": [],
    "one": participant_rows("a", buy="lllll", landmark="lllll", style="lllll", blinding_check="lllll"),
    "two": participant_rows("a", buy="lllll", landmark="l", style="l")
    + participant_rows("b", buy="ttttt", style="llttl"),
    "nobody chose either": [
        row for name in "abcdefgh" for row in participant_rows(name, buy="oo---", landmark="bbnnb")
    ],
    "all alike": [
        row for name in "abcdefgh" for row in participant_rows(name, buy="lllll", landmark="lllll", style="lllll")
    ],
    "all unsure": [row for name in "abcdefgh" for row in participant_rows(name, style="l", blinding_check="uuuuu")],
    "no times": [replace(one, client_ms=None, server_ms=None) for one in rows_of()],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", EMPTY.values(), ids=EMPTY)
def test_too_few_answers_raise_nothing_and_give_no_nan(rows):
    result = analyze(study_definition(), rows)
    assert plain(result) == result


def test_without_participants_there_is_no_power_and_no_mean():
    result = analyze(study_definition(), [])
    assert result["power"]["achieved"] is None
    assert result["all"]["blinding_check"] == {
        "participants": 0,
        "answers": 0,
        "unsure": None,
        "correct": {"mean": None, "interval": None},
        "p": None,
        "min_attainable_p": None,
        "nonzero": 0,
    }
    assert result["all"]["questions"]["style"]["lora_minus_ti"] == {
        "participants": 0,
        "mean": None,
        "interval": None,
        "p": None,
        "min_attainable_p": None,
        "nonzero": 0,
        "wilcoxon_p": None,
        "rank_biserial": None,
        "sign_test": {"positive": 0, "negative": 0, "zero": 0, "p": None},
    }


def test_two_participants_can_prove_nothing():
    result = analyze(study_definition(), EMPTY["two"])["all"]["questions"]["buy"]
    assert (result["p"], result["min_attainable_p"], result["lora_minus_ti"]["interval"]) == (1.0, 0.5, None)


def test_there_is_no_p_if_nobody_chose_either_method():
    questions = analyze(study_definition(), EMPTY["nobody chose either"])["all"]["questions"]
    assert [questions[name]["p_holm"] for name in ("buy", "landmark", "style")] == [None, None, None]
    assert questions["buy"]["lora_minus_ti"]["mean"] == 0.0
    assert questions["landmark"]["recognizable"]["lora"] == {"mean": 0.6, "interval": None}


def test_equal_answers_have_a_p_but_no_bootstrap():
    result = analyze(study_definition(), EMPTY["all alike"])["all"]["questions"]["style"]
    assert (result["p"], result["p_holm"]) == (2**-7, pytest.approx(3 * 2**-7))
    assert result["lora_minus_ti"]["mean"] == 1.0
    assert result["lora_minus_ti"]["interval"] is None
    assert result["krippendorff_alpha"] is None
    assert result["by_landmark"][LANDMARKS[0]]["shares"]["lora"] == proportion(8, 8)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            row("a", 30, "buy", "l", LANDMARKS[0]),
            "participant a answered trial 30 (buy, Big Ben) twice; keep one of the two rows",
        ),
        (
            row("a", 1, "blinding_check", "u", LANDMARKS[1], "blinding_check"),
            "participant a answered trial 1 (blinding_check, Colosseum) twice; keep one of the two rows",
        ),
        (
            row("k", 1, "blinding_check", "l", LANDMARKS[0]),
            "an answer is to the question 'blinding_check'; the questions are buy, landmark, style",
        ),
        (
            row("k", 1, "buy", "l", "Elsewhere"),
            f"an answer is about 'Elsewhere'; the study's landmarks are {', '.join(LANDMARKS)}",
        ),
        (
            replace(row("k", 1, "buy", "l", LANDMARKS[0]), origin="base"),
            "a chosen image has the origin 'base'; the origins are original, lora, ti",
        ),
    ],
)
def test_rows_that_would_count_wrongly_are_refused(extra, sentence):
    with pytest.raises(StudyError) as caught:
        Answers(study_definition(), [*participant_rows("a", buy="lllll"), extra])
    assert str(caught.value) == sentence


def test_the_power_is_planned_and_achieved():
    result = planned_power(study_definition(participants=50))
    assert {name: round(value, 2) for name, value in result.items()} == {
        "n": 50,
        "alpha": 0.02,
        "70:30": 0.68,
        "75:25": 0.90,
        "80:20": 0.99,
    }
    assert analyze(study_definition(), rows_of())["power"] == {
        "planned": planned_power(study_definition()),
        "achieved": planned_power(study_definition(participants=8)),
    }


# --- the published study and its instrument


def test_the_papers_numbers_are_reproduced():
    questions = paper_counts()["all"]["questions"]
    style, landmark, buy = questions["style"], questions["landmark"], questions["buy"]
    assert f"{style['p']:.0e}" == "2e-05"
    assert [round(100 * end) for end in style["lora"]["clopper_pearson"]] == [66, 90]
    assert style["cohens_h"] == pytest.approx(proportion_effectsize(0.8, 0.5))
    assert round(landmark["lora_vs_none"]["p"], 2) == 0.55
    assert landmark["p"] == pytest.approx(stats.binomtest(20, 25).pvalue)
    assert (buy["chose_either"], buy["counts"]["none"]) == (45, 5)
    assert buy["p"] == pytest.approx(2**-44)
    assert buy["chi_square"]["statistic"] == pytest.approx(stats.chisquare([45, 0, 5]).statistic)
    p = [question["p"] for question in questions.values()]
    assert [question["p_holm"] for question in questions.values()] == pytest.approx(multipletests(p, method="holm")[1])
    assert all(question["participants"] == 50 for question in questions.values())


def test_a_board_has_one_answer_per_participant():
    answers = ["l"] * 6 + ["t"] * 2 + ["o"] * 3 + ["-"]
    rows = [row for number, letter in enumerate(answers) for row in board_rows(f"p{number}", buy=letter, style="l")]
    result = analyze(study_definition(instrument="paper"), rows)
    buy = result["all"]["questions"]["buy"]
    assert plain(result) == result
    assert buy["counts"] == {"original": 3, "lora": 6, "ti": 2, "none": 1}
    assert buy["lora"] == proportion(6, 8)
    assert buy["p"] == pytest.approx(stats.binomtest(6, 8).pvalue)
    assert buy["lora_vs_none"] == {"lora": 6, "none": 1, "p": pytest.approx(stats.binomtest(6, 7).pvalue)}
    theirs = stats.chisquare([3, 6, 2, 1], [12 * share / 16 for share in (5, 5, 5, 1)])
    assert buy["chi_square"] == {
        "statistic": pytest.approx(theirs.statistic),
        "df": 3,
        "p": pytest.approx(theirs.pvalue),
        "min_expected": 0.75,
    }
    assert buy["positions"]["counts"] == [6, 2, 3, *[0] * 12]
    assert result["all"]["questions"]["style"]["p"] == pytest.approx(2**-11)
    nothing = {"original": 0, "lora": 0, "ti": 0, "none": 0}
    assert result["all"]["questions"]["landmark"] == {
        "participants": 0,
        "counts": nothing,
        "chose_either": 0,
        "lora": proportion(0, 0),
        "p": None,
        "p_holm": None,
        "min_attainable_p": None,
        "cohens_h": None,
        "shares": dict.fromkeys(nothing, proportion(0, 0)),
        "menu": {"original": 5, "lora": 5, "ti": 5, "none": 1},
        "chi_square": {"statistic": None, "df": 3, "p": None, "min_expected": None},
        "lora_vs_none": {"lora": 0, "none": 0, "p": None},
        "ti_vs_none": {"ti": 0, "none": 0, "p": None},
        "retest": {"agreed": proportion(0, 0), "kappa": None},
        "positions": {"counts": [], "statistic": None, "p": None},
        "seconds": {clock: {"n": 0, "median": None, "quartiles": None} for clock in ("client", "server")},
    }


# --- the locked analysis


def test_the_hash_covers_every_module_that_decides_the_result():
    folder = Path(preregistered.__file__).parent
    assert len(analysis_sha256()) == 64
    assert list(preregistered.MODULES) == sorted(preregistered.MODULES)
    for module in preregistered.MODULES:
        for node in ast.walk(ast.parse((folder / module).read_text())):
            if isinstance(node, ast.ImportFrom):
                imported = imported_modules(node, folder.parent)
                # the definition is locked by its own digest
                assert imported <= {*preregistered.MODULES, "study.design.definition"}


def imported_modules(node, package):
    """The file names of `study.analysis`, and the dotted names of other modules of the study, that a line imports."""
    if node.module == "study.analysis":
        return {f"{alias.name}.py" for alias in node.names}
    if node.module.startswith("study.analysis."):
        return {f"{node.module.removeprefix('study.analysis.')}.py"}
    if node.module == "study":
        names = (alias.name for alias in node.names)
        return {f"study.{name}" for name in names if (package / name).is_dir() or (package / f"{name}.py").exists()}
    return {node.module} if node.module.startswith("study.") else set()


def test_the_hash_changes_with_every_edit_except_line_endings(tmp_path, monkeypatch):
    folder = Path(preregistered.__file__).parent
    before = analysis_sha256()
    for module in preregistered.MODULES:
        (tmp_path / module).write_bytes((folder / module).read_bytes().replace(b"\n", b"\r\n"))
    monkeypatch.setattr(preregistered, "__file__", str(tmp_path / "analysis.py"))
    assert analysis_sha256() == before
    seen = {before}
    for module in preregistered.MODULES:
        with (tmp_path / module).open("ab") as file:
            file.write(b"#")
        seen.add(analysis_sha256())
    assert len(seen) == len(preregistered.MODULES) + 1
