"""The re-login limits follow one formula (srm.md, section 3)."""

from __future__ import annotations

import pytest

from srmd.relogin import Deployment, ReLogin, profile

BOTH = Deployment.ACTIVE_ACTIVE
STANDBY = Deployment.ACTIVE_STANDBY


@pytest.mark.parametrize(
    "vm_users,deployment,users_a,users_b,upper_limit_s",
    [
        (500, BOTH, 100, 100, 187),
        (500, BOTH, 250, 250, 287),
        (500, STANDBY, 500, 0, 453),
        (1000, BOTH, 500, 500, 287),
        (2000, STANDBY, 1000, 0, 453),
        (5000, BOTH, 2500, 2500, 537),
        (5000, STANDBY, 100, 0, 153),  # Cisco's table prints 154
        (15000, BOTH, 7500, 7500, 620),
        (15000, STANDBY, 15000, 0, 2620),
        (25000, BOTH, 12500, 12500, 1509),
        (25000, STANDBY, 8000, 0, 1120),  # Cisco's table is slid by a row here
        (25000, STANDBY, 25000, 0, 3245),
        (500, BOTH, 0, 0, 120),
        (15000, STANDBY, 0, 3, 121),  # 120.5 rounds up, as on paper
    ],
)
def test_the_upper_limit_grows_with_the_users(
    vm_users: int, deployment: Deployment, users_a: int, users_b: int, upper_limit_s: int
) -> None:
    limits = profile(vm_users, deployment, users_a=users_a, users_b=users_b)
    assert limits == ReLogin(120, upper_limit_s)


def test_active_active_counts_the_fuller_node_and_active_standby_both() -> None:
    assert profile(5000, BOTH, users_a=600, users_b=1200) == ReLogin(120, 320)
    assert profile(5000, STANDBY, users_a=600, users_b=1200) == ReLogin(120, 720)


def test_an_unknown_profile_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match="3000 is not one of 500, 1000, 2000, 5000, 15000, 25000"):
        profile(3000, BOTH, users_a=1, users_b=1)


@pytest.mark.parametrize("users_a,users_b", [(400, 200), (-1, 5)])
def test_users_that_do_not_fit_are_refused(users_a: int, users_b: int) -> None:
    with pytest.raises(ValueError, match="do not fit the VM profile 500"):
        profile(500, STANDBY, users_a=users_a, users_b=users_b)
