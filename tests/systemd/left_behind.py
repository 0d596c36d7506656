"""What a removed installation must not leave on a machine: any text of its secrets."""

from __future__ import annotations

from tests.machines.container import Container

CHARACTERS_MIN = 16
"""Of a text that is looked for; a PEM file is looked for by its lines."""
PLACES = ("/etc", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var")


def secrets_of(machine: Container) -> list[str]:
    """The texts of keys and tokens that lie in the folder of the configuration."""
    told = machine.run("sh", "-c", "cat /etc/srmd/*.key /etc/srmd/*token*")
    lines = [line.strip() for line in told.splitlines() if not line.startswith("-----")]
    return [line for line in lines if len(line) >= CHARACTERS_MIN]


def traces(machine: Container, secrets: list[str]) -> list[str]:
    """Files that hold one of the texts, those that are packed included."""
    listed = "\\n".join(secrets)
    script = (
        f"grep -rlaF -e \"$(printf '{listed}')\" {' '.join(PLACES)} 2>/dev/null;"
        f" for packed in $(find {' '.join(PLACES)} -name '*gz' 2>/dev/null); do"
        f" zcat -f $packed | grep -qaF -e \"$(printf '{listed}')\" && echo $packed; done; true"
    )
    return machine.run("sh", "-c", script).splitlines()
