"""Which counts of an answer are those of the call: not those of a batch's results, nor what a model itself wrote."""

from __future__ import annotations

import json

import pytest

from agent.test_llm import ASKED
from otas_middleware._agent.llm import describe

MESSAGES = [{"model": "claude", "usage": {"input_tokens": i, "output_tokens": i}} for i in (1, 2, 3)]
RESULTS = "".join(json.dumps({"custom_id": "r", "result": {"message": message}}) + "\n" for message in MESSAGES)


@pytest.mark.parametrize(
    ("answer", "tail"),
    [
        pytest.param(RESULTS, "", id="the results of a batch"),
        pytest.param(RESULTS[:-50], RESULTS[-50:], id="longer ones"),
        pytest.param(json.dumps({"object": "list", "data": MESSAGES}), "", id="a list"),
        pytest.param(json.dumps({"data": MESSAGES})[:200], json.dumps({"data": MESSAGES})[-20:], id="a longer one"),
        pytest.param(
            "".join(
                json.dumps({"key": "r", "response": {"modelVersion": "g", "usageMetadata": {"promptTokenCount": 2}}})
                + "\n"
                for _ in range(2)
            ),
            "",
            id="Gemini's",
        ),
    ],
)
def test_several_answers_in_one_are_the_usage_of_no_call(answer: str, tail: str) -> None:
    assert describe("", answer, tail) == {}


def test_a_usage_among_what_a_model_wrote_is_none_of_its_own() -> None:
    called = {"type": "tool_use", "input": {"usage": {"input_tokens": 700}}}
    answer = {"model": "claude", "content": [called], "usage": {"input_tokens": 5, "output_tokens": 6}}
    assert describe(ASKED, json.dumps(answer))["usage"] == {"input": 5, "output": 6, "total": 11}


def test_counts_may_be_written_as_fractions() -> None:
    usage = {"billed_units": {"input_tokens": 5.0}, "tokens": {"input_tokens": 9.0, "output_tokens": 3.0}}
    answered = describe(ASKED, json.dumps({"usage": usage}))["usage"]
    assert json.dumps(answered) == '{"input": 9, "output": 3, "total": 12}'


def test_the_path_names_the_model_of_pictures_and_films() -> None:
    asked = json.dumps({"instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 1}})
    for verb in ("predict", "predictLongRunning"):
        assert describe(asked, "{}", "", f"/v1beta/models/veo-3:{verb}") == {"model": "veo-3"}
