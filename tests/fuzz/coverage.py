"""One target under atheris: `python -m tests.fuzz.coverage TARGET INPUTS SEED CORPUS`.

A program of its own, because atheris ends the process.  What was found is left in the folder of the
corpus as `crash-...`, and the exit code is not 0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["srmd.wire", "srmd.node.calling"]):
    from tests.fuzz.targets import TARGETS, seeds, words

INPUT_BYTES_MAX = 4096
INPUT_LIMIT_S = 5
MEMORY_MB_MAX = 2048


def main() -> None:
    name, inputs, seed, corpus = sys.argv[1:]
    for number, good in enumerate(seeds()[name]):
        (Path(corpus) / f"seed-{number}").write_bytes(good)
    dictionary = Path(corpus).with_suffix(".dict")
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in sorted(words(name))))
    options = (
        f"-dict={dictionary}",
        f"-runs={inputs}",
        f"-seed={seed}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_LIMIT_S}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={corpus}/",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, corpus], TARGETS[name])
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    """As libFuzzer's dictionaries write bytes."""
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
