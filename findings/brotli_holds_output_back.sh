#!/usr/bin/env bash
# brotli 1.2.0: with `output_buffer_limit`, `Decompressor.can_accept_more_data()` says True while output is held back, so
# that the documented loop (`process(b"")` until it can accept more) ends a body early. Its end comes only to those who
# ask on until a piece is shorter than the limit. `is_finished()` alone tells.
#   brotli 1.2.0: 553,132 of 1,988,890 bytes missing after the last input; is_finished() False
# Exits 1 when this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check brotli==1.2.0 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import brotli

LIMIT, STEP = 65_536, 4_096
plain = b"".join(b"%d " % number for number in range(300_000))
packed = brotli.compress(plain)
decoder = brotli.Decompressor()
out = b""
for start in range(0, len(packed), STEP):
    out += decoder.process(packed[start : start + STEP], output_buffer_limit=LIMIT)
    while not decoder.can_accept_more_data():
        out += decoder.process(b"", output_buffer_limit=LIMIT)
missing = len(plain) - len(out)
finished = decoder.is_finished()
rest = b""
while piece := decoder.process(b"", output_buffer_limit=LIMIT):
    rest += piece
print(f"brotli {brotli.__version__}: {missing:,} of {len(plain):,} bytes missing after the last input; is_finished() {finished}")
print(f"asked again with nothing: {len(rest):,} bytes; complete: {out + rest == plain}")
sys.exit(0 if missing and not finished and out + rest == plain else 1)
PYTHON
