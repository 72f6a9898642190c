"""The check of the SDK key: its form, and what Brain and UASAM say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otas_middleware._cli.application.load import SDK_KEY
from otas_middleware._cli.doctor.report import Check
from otas_middleware._config.sources import env_name

if TYPE_CHECKING:
    from otas_middleware._cli.application import Subject
    from otas_middleware._cli.doctor.services import Visit


def key_problem(subject: Subject) -> tuple[str, str] | None:
    """Say what is wrong with the form of the SDK key, and what to do; None when nothing is."""
    settings = subject.settings
    setting = spelled(subject, "sdk_key")
    if settings is None or settings.sdk_key is None:
        return (
            "none is set, so nothing is recorded",
            f"set {setting} to the project's backend SDK key, otas_<prefix>_<secret>, as OTAS shows it for the project",
        )
    key = settings.sdk_key.get_secret_value()
    again = f"copy the project's backend SDK key, otas_<prefix>_<secret>, to {setting} again"
    if key[0] in "\"'" or key[-1] in "\"'":
        return "it is malformed: it holds the quotes that stood around it", f"take the quotes out of {setting}"
    if key.startswith("agent_"):
        return "it is an agent's key (agent_…); a backend needs the project's SDK key", again
    if not SDK_KEY.fullmatch(key):
        return f"it is malformed ({len(key)} characters): not of the form otas_<prefix>_<secret>", again
    return None


def check_key(problem: tuple[str, str] | None, brain: Visit, uasam: Visit | None, setting: str) -> Check:
    """Say whether the SDK key is good, and whose project it opens.

    Args:
        problem: What is wrong with its form.
        brain: What came of asking Brain.
        uasam: What came of asking UASAM, if its address is known.
        setting: The name of the setting that holds the key.
    """
    if problem is not None:
        return Check("sdk_key", "failed", *problem)
    judges = ["UASAM"] * (uasam is not None and uasam.key == "good") + ["Brain"] * (brain.key == "good")
    if uasam is not None and uasam.key == "bad":
        return Check(
            "sdk_key",
            "failed",
            "it is wrong: UASAM does not know it, or it has expired or been revoked",
            f"make a new backend SDK key for the project, set {setting} to it, and restart the application",
        )
    if judges:
        project = uasam.project if uasam is not None else None
        opens = f"; project {project.get('name', '?')} ({project.get('id', '?')})" if project else ""
        return Check(
            "sdk_key", "ok", f"accepted by {' and '.join(judges)}{opens}", data={"project": project} if project else {}
        )
    if brain.key == "bad" and uasam is None:
        return Check(
            "sdk_key",
            "failed",
            "Brain refuses it; it does so for a bad key, and for every key while UASAM is away",
            "give UASAM's address to learn which: --uasam-url http://HOST:8000, or OTAS_UASAM_URL",
        )
    if brain.key == "bad":
        return Check("sdk_key", "skipped", "cannot be judged: Brain refuses every key while UASAM is away (see uasam)")
    return Check("sdk_key", "skipped", "cannot be judged: nobody could be asked")


def spelled(subject: Subject, field: str) -> str:
    """Return a setting's name as the user spelled it, or as the environment's variable."""
    spelling = subject.origins.get(field, "").partition(" in ")[0]
    return spelling if spelling.startswith("OTAS") else env_name(field)
