"""Others, who have tokens: what they say is what comes out, and a lie about it is found."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.programs import language as p
from tests.programs.bench import ProgramBench
from tests.programs.errands import judge_words, past_tasks
from tests.programs.model import Circumstances, judge
from tests.programs.seen import seen_of
from tests.programs.steps.errands import Entrust

RUN_ID = UUID(int=7)


def worked(*sayings):
    bench = ProgramBench()
    bench.start(p.Program(body=(Entrust(label="1", sayings=sayings, expires=1.0, binds="v"),)), RUN_ID)
    bench.drive()
    return bench


def complaints(bench, words):
    return list(judge_words(words, past_tasks(bench.store), lambda run_id: False, is_rough=False))


@pytest.mark.parametrize(
    ("sayings", "ending"),
    [
        (("complete", "nothing"), ["value", ["r:1", 1, 0]]),
        (("twice", "nothing"), ["value", ["r:1", 1, 0]]),
        (("forge", "nothing"), ["value", ["r:1", 1, 1]]),
        (("fail", "complete"), ["value", ["r:1", 2, 0]]),
        (("fail", "fail"), ["failed", "ActivityError", "CompletionFailed", "['r:1', 2, 1]", 2]),
        (("refuse", "complete"), ["failed", "ActivityError", "CompletionFailed", "['r:1', 1, 0]", 1]),
        (("late", "complete"), ["value", ["r:1", 2, 0]]),
        (("nothing", "late"), ["failed", "ActivityTimeout", "completion", 2]),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, tuple) else "",
)
def test_word_of_who_has_the_token_is_the_outcome(sayings, ending):
    bench = worked(*sayings)
    [loaded] = bench.runs()
    assert seen_of(loaded).trace == [["1", *ending]]
    assert complaints(bench, bench.others.words) == []


@pytest.mark.parametrize(
    ("sayings", "number", "lie", "found"),
    [
        (("twice", "nothing"), 1, {"refusal": None}, "was used before"),
        (("complete", "nothing"), 0, {"what": ["r:1", 1, 5]}, "completed something, and it is not so"),
        (("refuse", "nothing"), 0, {"how": "complete"}, "completed something, and it is not so"),
        (("complete", "nothing"), 0, {"how": "refuse"}, "failed something for good, and it is not so"),
        (("forge", "nothing"), 0, {"refusal": None}, "that was forged holds"),
        (("forge", "nothing"), 0, {"refusal": "CompletionTokenUsed"}, "that was forged is known"),
        (("complete", "nothing"), 0, {"refusal": "CompletionTokenExpired"}, "has expired too early"),
        (("complete", "nothing"), 0, {"refusal": "CompletionTokenUnknown"}, "is said to be unknown"),
        (("late", "nothing"), 0, {"refusal": None}, "holds for too long"),
    ],
    ids=lambda given: "",
)
def test_lie_about_a_word_is_found(sayings, number, lie, found):
    bench = worked(*sayings)
    words = list(bench.others.words)
    words[number] = words[number]._replace(**lie)
    [complaint] = complaints(bench, words)
    assert complaint.startswith(f"a token {found}")


def test_model_finds_an_outcome_that_nobody_has_said():
    bench = worked("complete", "nothing")
    [loaded] = bench.runs()
    assert judge(seen_of(loaded), Circumstances(words=bench.others.words)).complaints == []
    [complaint] = judge(seen_of(loaded), Circumstances()).complaints
    assert "does not allow" in complaint
