"""Leases do not run while nobody could renew them."""

from rooms.domain.leases import Outage


def test_the_first_sweep_comes_a_full_lease_after_the_start() -> None:
    outage = Outage(10, now_s=100)
    assert not outage.is_over(now_s=109.9)
    assert outage.is_over(now_s=110)


def test_after_the_database_was_away_the_first_sweep_comes_a_full_lease_after_it_was_missed_last() -> None:
    outage = Outage(10, now_s=0)
    assert outage.is_over(now_s=50)
    for second in range(50, 80):
        outage.note(now_s=second)
    assert not outage.is_over(now_s=88)
    assert outage.is_over(now_s=89)
