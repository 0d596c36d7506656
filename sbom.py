"""`make sbom`: what a node is made of, as CycloneDX 1.5, beside the wheel that it describes.

From the lock file (which packages, which versions) and from what those packages say of themselves
in .venv (licences, dependencies).  The same wheel gives the same bytes: neither time nor serial
number.  A tool for this would bring thirty packages for these lines.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from importlib.metadata import PackageMetadata, distribution, requires
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent / "requirements-runtime.lock"
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
WHEEL = re.compile(r"srmd-([^-]+)-py3-none-any\.whl")


def bill(wheel: Path) -> dict[str, Any]:
    """Of this wheel.  Raises ValueError when .venv has not what the lock file says."""
    named = WHEEL.fullmatch(wheel.name)
    if named is None:
        raise ValueError(f"{wheel}: not a wheel of srmd")
    pinned = dict(PINNED.findall(LOCK.read_text(encoding="utf-8")))
    refs = {name: f"pkg:pypi/{name}@{version}" for name, version in pinned.items()}
    ours = f"pkg:pypi/srmd@{named[1]}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "srmd",
                "version": named[1],
                "purl": ours,
                "hashes": [{"alg": "SHA-256", "content": _sha256(wheel)}],
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": refs[name],
                "name": name,
                "version": version,
                "purl": refs[name],
                "licenses": [_licence(_metadata(name, version))],
            }
            for name, version in sorted(pinned.items())
        ],
        "dependencies": [
            {"ref": ours, "dependsOn": _needed("srmd", refs)},
            *({"ref": refs[name], "dependsOn": _needed(name, refs)} for name in sorted(pinned)),
        ],
    }


def _metadata(name: str, version: str) -> PackageMetadata:
    found = distribution(name)
    if found.version != version:
        raise ValueError(f"{name} is {found.version} here and {version} in {LOCK.name}: make env")
    return found.metadata


def _licence(said: PackageMetadata) -> dict[str, Any]:
    """Its expression, or else its name as the package writes it."""
    if expression := said.get("License-Expression"):
        return {"expression": expression}
    written = said.get("License") or ""
    classified = [
        one.rpartition(" :: ")[2]
        for one in said.get_all("Classifier") or ()
        if one.startswith("License :: ")
    ]
    name = written if written and "\n" not in written else ", ".join(classified)
    if not name:
        raise ValueError(f"{said['Name']}: tells no licence")
    return {"license": {"name": name}}


def _needed(name: str, refs: dict[str, str]) -> list[str]:
    """Its locked requirements; those of an extra are not installed."""
    wanted = [one for one in requires(name) or () if "extra ==" not in one]
    names = [found[0].lower().replace("_", "-") for one in wanted if (found := NAME.match(one))]
    return sorted({refs[one] for one in names if one in refs})


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(wheel: Path) -> None:
    made = wheel.with_name(f"{wheel.name.partition('-py3')[0]}.cdx.json")
    made.write_text(json.dumps(bill(wheel), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
