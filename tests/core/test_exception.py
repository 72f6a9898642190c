"""An exception as text, and what one means of a client that has gone."""

from __future__ import annotations

import io
import sys
import traceback
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from otas_middleware._capture.values import describe_exception, innermost, is_loss_of_client


def test_its_type_is_named_in_full_and_its_message_is_bounded() -> None:
    class Outer:
        class InnerError(Exception):
            pass

    described = describe_exception(Outer.InnerError("m" * 10_000), with_traceback=False)
    assert described.type.endswith("Outer.InnerError")
    assert described.message == "m" * 8192
    assert described.traceback is None


def test_a_message_that_cannot_be_read_is_said_to_be_so() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe_exception(OddError(), with_traceback=False).message == "(its message cannot be read)"


def test_of_a_traceback_the_innermost_fifty_frames_are_kept() -> None:
    # Functions of different names, as Python writes "previous line repeated" for those that are alike.
    names: dict[str, Any] = {}
    lines = [f"def f{number}():\n    f{number + 1}()\n" for number in range(60)]
    exec(compile("".join([*lines, "def f60():\n    raise ValueError('deep')\n"]), "deep.py", "exec"), names)
    with pytest.raises(ValueError, match="deep") as caught:
        names["f0"]()
    text = describe_exception(caught.value, with_traceback=True).traceback
    assert text is not None
    assert text == "".join(traceback.format_exception(caught.value, limit=-50))
    assert text.count('File "deep.py"') == 50
    assert "in f60" in text
    assert "in f10\n" not in text


def test_the_groups_around_one_exception_are_taken_off() -> None:
    inner = ValueError("inner")
    wrapped = BaseExceptionGroup("outer", [ExceptionGroup("inner", [inner])])
    assert innermost(wrapped) is inner
    assert describe_exception(wrapped, with_traceback=False)[:2] == ("ValueError", "inner")


def test_a_group_of_several_stays_one() -> None:
    group = ExceptionGroup("several", [ValueError(), KeyError()])
    assert innermost(ExceptionGroup("outer", [group])) is group


def test_an_exception_that_came_too_late_to_be_answered_is_itself_and_what_says_so_is_taken_off() -> None:
    late = RuntimeError("Caught handled exception, but response already started.")
    assert innermost(late) is late
    late.__cause__ = ExceptionGroup("outer", [KeyError("tea")])
    assert describe_exception(late, with_traceback=False)[:2] == ("KeyError", "'tea'")


def test_an_exception_that_was_raised_from_another_stays_the_one_that_is_named() -> None:
    error = RuntimeError("no tea")
    error.__cause__ = KeyError("tea")
    assert innermost(error) is error


@pytest.mark.parametrize(
    ("error", "is_loss"),
    [
        (SystemExit(), True),
        (KeyboardInterrupt(), True),
        (BrokenPipeError(), True),
        (ClientDisconnect(), True),
        (ValueError(), False),
        (io.UnsupportedOperation(), True),
        (BaseExceptionGroup("all", [OSError(), SystemExit()]), True),
        (BaseExceptionGroup("some", [OSError(), ValueError()]), False),
        (ExceptionGroup("nested", [ExceptionGroup("inner", [ValueError()])]), False),
    ],
    ids=repr,
)
def test_of_a_client_that_has_gone_only_some_mean_no_more_than_that(error: BaseException, is_loss: bool) -> None:
    assert is_loss_of_client(error) is is_loss


def test_where_there_is_no_starlette_nothing_is_starlettes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "starlette.requests")
    assert is_loss_of_client(ClientDisconnect()) is False
