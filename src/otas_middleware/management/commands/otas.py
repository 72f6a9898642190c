"""`manage.py otas doctor`, `preview` and `settings`: the command line for this project."""

from __future__ import annotations

import argparse
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from otas_middleware._cli.main import for_application, main


class Command(BaseCommand):
    """Hands its arguments on to `otas-middleware`."""

    help = "Check how OTAS records this project: doctor, preview or settings, with the options of otas-middleware."
    requires_system_checks = ()  # the doctor is for set-ups that fail them

    def add_arguments(self, parser: CommandParser) -> None:
        """Take everything as it comes."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="doctor|preview|settings ...")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command."""
        words = for_application(options["arguments"], "--django", os.environ["DJANGO_SETTINGS_MODULE"])
        main(words, name="manage.py otas")
