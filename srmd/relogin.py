"""When clients come back after a cut: a random moment between two limits.

Cisco's guides print the upper limits as tables by size of the virtual machine.  They follow one
formula, with exceptions that look like misprints: 5000 users active/standby, 100 users, prints 154,
and 25000 active/standby, 8000-13000 users, is slid by one row.  We compute (ours).
Source: srm.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

LOWER_LIMIT_S = 120
UPPER_LIMIT_S = 537


class Deployment(Enum):
    """Whether both nodes are home to users."""

    ACTIVE_ACTIVE = "active/active"
    ACTIVE_STANDBY = "active/standby"


@dataclass(frozen=True, slots=True)
class ReLogin:
    """The limits between which a client waits, at random, before it logs in again."""

    lower_limit_s: int = LOWER_LIMIT_S
    upper_limit_s: int = UPPER_LIMIT_S


LOGINS_PER_S: dict[int, dict[Deployment, float]] = {
    500: {Deployment.ACTIVE_ACTIVE: 1.5, Deployment.ACTIVE_STANDBY: 1.5},
    1000: {Deployment.ACTIVE_ACTIVE: 3, Deployment.ACTIVE_STANDBY: 3},
    2000: {Deployment.ACTIVE_ACTIVE: 3, Deployment.ACTIVE_STANDBY: 3},
    5000: {Deployment.ACTIVE_ACTIVE: 6, Deployment.ACTIVE_STANDBY: 3},
    15000: {Deployment.ACTIVE_ACTIVE: 15, Deployment.ACTIVE_STANDBY: 6},
    25000: {Deployment.ACTIVE_ACTIVE: 9, Deployment.ACTIVE_STANDBY: 8},
}
"""How many log-ins a second a node stands, by VM profile (the users it is sized for)."""


def profile(vm_users: int, deployment: Deployment, *, users_a: int, users_b: int) -> ReLogin:
    """The limits that Cisco recommends for a pair, from the users that are assigned to each node.

    Active/standby counts the group's total, active/active the fuller node's.
    Raises ValueError for a profile that does not exist or users that it does not hold.
    """
    if vm_users not in LOGINS_PER_S:
        known = ", ".join(str(size) for size in LOGINS_PER_S)
        raise ValueError(f"VM profile: {vm_users} is not one of {known}")
    active_active = deployment is Deployment.ACTIVE_ACTIVE
    users = max(users_a, users_b) if active_active else users_a + users_b
    if min(users_a, users_b) < 0 or users > vm_users:
        raise ValueError(f"users: {users} do not fit the VM profile {vm_users} (0-{vm_users})")
    rate = LOGINS_PER_S[vm_users][deployment]
    # Half a second rounds up, as on paper; Python's round() would make 536.5 to 536.
    return ReLogin(LOWER_LIMIT_S, int(LOWER_LIMIT_S + users / rate + 0.5))
