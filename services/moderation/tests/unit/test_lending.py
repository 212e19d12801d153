"""Who has which windows: domain/lending.py."""

from collections import deque
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from moderation.domain import lending as module
from moderation.domain.admission import MessageCheck
from moderation.domain.lending import LEASE_NS, UNDISTURBED_NS, Lending, Lessee, key_of
from moderation.domain.people import Rank, Speaker

S = 1_000_000_000
START = 5_000 * S


def user(user_id: int = 5, connection: str = "e:1") -> Speaker:
    return Speaker(user_id, f"user_{user_id}", "10.0.0.5", Rank.USER, connection)


def said_by(speaker: Speaker, number: int = 1) -> MessageCheck:
    return MessageCheck(speaker, "live", 1, "n-1", number, text="hi")


ANA = said_by(user())
ANA_KEY = 5


def lent(lending: Lending, lessee: Lessee, now_ns: int, message: MessageCheck = ANA) -> int:
    """A message is asked about, and judged at once."""
    lending.note_message(key_of(message.speaker), lessee, now_ns)
    assert lending.holder(key_of(message.speaker), lessee, now_ns) is None
    return lending.lend(message, lessee, now_ns)


# --- whose it is ----------------------------------------------------------------------------------------------------


def test_users_are_lent_by_their_id_and_anonymous_people_by_their_address() -> None:
    assert key_of(user()) == 5
    assert key_of(Speaker(0, "Anonymous_10.0.0.5", "10.0.0.5", Rank.ANONYMOUS, "e:1")) == "10.0.0.5"


def test_a_worker_is_the_same_on_whichever_stream() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    assert lending.lessee("b", START) is not lessee
    assert lending.lessee("a", START + S) is lessee
    assert lessee.worker == "a"
    assert lessee.lease_over_ns() == START + S + LEASE_NS


def test_a_window_that_nobody_has_is_held_by_nobody() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    assert lending.holder(ANA_KEY, lessee, START) is None
    lending.note_message(ANA_KEY, lessee, START)
    assert lending.holder(ANA_KEY, None, START) is None


def test_who_has_not_spoken_is_lent_to_nobody() -> None:
    lending = Lending()
    assert lending.lend(ANA, lending.lessee("a", START), START) == 0


def test_the_grant_is_what_was_asked_about_without_what_was_said() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    number = lent(lending, lessee, START)
    assert lessee.grants == {number: ANA._replace(text="", nonce="")}


def test_each_connection_has_its_number_and_keeps_it() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    first, second = (lent(lending, lessee, START, said_by(user(connection=c))) for c in ("e:1", "e:2"))
    assert 0 != first != second != 0
    moved = said_by(user(connection="e:1"))._replace(slug="elsewhere")
    assert lent(lending, lessee, START, moved) == first
    assert lessee.grants[first].slug == "elsewhere"


def test_others_wait_while_a_worker_has_it_and_its_lease_is_not_over() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lent(lending, first, START)
    assert lending.holder(ANA_KEY, first, START) is None
    assert lending.holder(ANA_KEY, second, START + LEASE_NS - 1) is first
    assert lending.holder(ANA_KEY, None, START + LEASE_NS - 1) is first
    assert lending.holder(ANA_KEY, second, START + LEASE_NS) is None
    lending.lessee("a", START + LEASE_NS - 1)
    assert lending.holder(ANA_KEY, second, START + LEASE_NS) is first


def test_what_is_returned_is_held_by_nobody_and_its_numbers_mean_nothing() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lent(lending, first, START)
    lending.returned(ANA_KEY, second)
    assert lending.holder(ANA_KEY, second, START) is first
    lending.returned(ANA_KEY, first)
    lending.returned(ANA_KEY, first)
    lending.returned("10.0.0.9", first)
    assert lending.holder(ANA_KEY, second, START) is None
    assert first.grants == {}


def test_what_a_worker_had_whose_lease_is_over_may_be_lent_to_another() -> None:
    lending = Lending()
    first = lending.lessee("a", START)
    number = lent(lending, first, START)
    later = START + UNDISTURBED_NS
    second = lending.lessee("b", later)
    assert lent(lending, second, later) not in (0, number)
    assert first.grants == {}
    assert lending.holder(ANA_KEY, first, later) is second


def test_so_many_connections_of_one_speaker_are_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 2)
    lending = Lending()
    lessee = lending.lessee("a", START)
    numbers = [lent(lending, lessee, START, said_by(user(connection=c))) for c in ("e:1", "e:2", "e:3", "e:2")]
    assert [number > 0 for number in numbers] == [True, True, False, True]
    assert len(lessee.grants) == 2


# --- who was disturbed ----------------------------------------------------------------------------------------------


def test_nothing_is_lent_until_what_others_asked_about_cannot_matter() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lending.note_message(ANA_KEY, first, START)
    lending.note_message(ANA_KEY, second, START + S)
    assert lending.lend(ANA, second, START + UNDISTURBED_NS - 1) == 0
    assert lending.lend(ANA, second, START + UNDISTURBED_NS) > 0


def test_it_matters_for_as_long_as_the_window_where_that_is_longer() -> None:
    lending = Lending(window_ns=2 * UNDISTURBED_NS)
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lending.note_message(ANA_KEY, first, START)
    lending.note_message(ANA_KEY, second, START + S)
    assert lending.lend(ANA, second, START + 2 * UNDISTURBED_NS - 1) == 0
    assert lending.lend(ANA, second, START + 2 * UNDISTURBED_NS) > 0


def test_an_edge_of_before_disturbs_as_well() -> None:
    lending = Lending()
    lending.note_message(ANA_KEY, None, START)
    lending.note_message(ANA_KEY, None, START + S)
    lessee = lending.lessee("a", START + 2 * S)
    lending.note_message(ANA_KEY, lessee, START + 2 * S)
    assert lending.lend(ANA, lessee, START + S + UNDISTURBED_NS - 1) == 0
    assert lending.lend(ANA, lessee, START + S + UNDISTURBED_NS) > 0


def test_what_another_worker_says_it_admitted_earlier_disturbs_for_the_rest_of_the_time() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lending.note_message(ANA_KEY, first, START)
    lending.note_carried(ANA_KEY, first, START - S, START)
    assert lending.lend(ANA, first, START) > 0
    lending.note_carried(ANA_KEY, second, START - 9 * S, START)
    lending.note_carried(ANA_KEY, second, START - 10 * S, START)
    assert lending.lend(ANA, first, START - 9 * S + UNDISTURBED_NS - 1) == 0
    assert lending.lend(ANA, first, START - 9 * S + UNDISTURBED_NS) > 0


def test_who_is_known_by_what_was_carried_alone_is_lent_to_who_carried_it() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lending.note_carried(ANA_KEY, first, START - S, START)
    assert lent(lending, first, START) > 0
    lending.returned(ANA_KEY, first)
    assert lent(lending, second, START) == 0


def test_a_later_question_does_not_let_what_disturbed_before_be_forgotten() -> None:
    """Of three workers the third carried what it had admitted, and neither of the others knows it."""
    lending = Lending()
    first, second, third = (lending.lessee(worker, START) for worker in "abc")
    lending.note_message(ANA_KEY, first, START)
    lending.note_carried(ANA_KEY, third, START + 50 * S, START + 60 * S)
    lending.note_message(ANA_KEY, second, START + 60 * S)
    assert lending.lend(ANA, second, START + UNDISTURBED_NS) == 0
    assert lending.lend(ANA, second, START + 50 * S + UNDISTURBED_NS) > 0


# --- what changes ---------------------------------------------------------------------------------------------------


def test_what_was_granted_before_a_change_is_owed_until_it_is_returned() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lent(lending, first, START)
    assert lending.change() == [first]
    assert lending.owing(1, START) == [first]
    lending.returned_all(first, 1)
    assert lending.owing(1, START) == []
    assert lending.holder(ANA_KEY, second, START) is None


def test_what_is_owed_is_owed_for_a_lease() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    lent(lending, lessee, START)
    lending.change()
    assert lending.owing(1, START + LEASE_NS - 1) == [lessee]
    assert lending.owing(1, START + LEASE_NS) == []


def test_who_was_asked_and_has_not_answered_is_asked_again_with_the_next_change() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    lent(lending, lessee, START)
    assert [lending.change(), lending.change()] == [[lessee], [lessee]]
    lending.returned_all(lessee, 1)
    assert lending.owing(2, START) == []
    assert lending.change() == []


def test_what_is_granted_after_a_change_is_not_returned_by_the_answer_to_it() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lending.change()
    lent(lending, first, START)
    lending.returned_all(first, 1)
    lending.returned_all(first, 0)
    assert lending.holder(ANA_KEY, second, START) is first
    assert lending.change() == [first]
    assert lending.owing(2, START) == [first]


# --- memory ---------------------------------------------------------------------------------------------------------


def test_who_is_quiet_is_forgotten_two_where_one_comes() -> None:
    lending = Lending()
    lessee = lending.lessee("a", START)
    for number in range(1, 4):
        lending.note_message(number, lessee, START)
    later = START + UNDISTURBED_NS
    lending.note_message(4, lessee, later - 1)
    assert len(lending) == 4
    lending.note_message(5, lessee, later)
    assert len(lending) == 3
    assert lent(lending, lending.lessee("b", later), later, said_by(user(1))) > 0


def test_the_last_one_may_be_forgotten_too() -> None:
    lending = Lending(most_speakers=1)
    lessee = lending.lessee("a", START)
    lending.note_message(1, lessee, START)
    lending.note_message(2, lessee, START + UNDISTURBED_NS)
    assert len(lending) == 0


def test_who_was_disturbed_is_not_forgotten_before_it_cannot_matter() -> None:
    """Else the window would be lent at once to a worker that does not know what the other one admitted."""
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lending.note_message(ANA_KEY, first, START)
    lending.note_carried(ANA_KEY, second, START + 90 * S, START + 90 * S)
    lending.note_message(6, first, START + UNDISTURBED_NS)
    assert lent(lending, first, START + UNDISTURBED_NS) == 0
    assert lent(lending, first, START + 90 * S + UNDISTURBED_NS) > 0


def test_whose_window_is_out_is_not_forgotten() -> None:
    lending = Lending()
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    lent(lending, first, START)
    later = START + UNDISTURBED_NS
    lending.lessee("a", later)
    lending.note_message(6, second, later)
    assert lending.holder(ANA_KEY, second, later) is first
    lending.note_message(7, second, later + UNDISTURBED_NS)
    assert len(lending) == 1
    assert first.grants == {}


def test_nothing_is_lent_while_somebody_may_have_been_overlooked() -> None:
    lending = Lending(most_speakers=1)
    first, second = lending.lessee("a", START), lending.lessee("b", START)
    assert lent(lending, first, START) > 0
    bea = said_by(user(6))
    assert lent(lending, second, START, bea) == 0
    assert len(lending) == 1
    assert lent(lending, first, START + UNDISTURBED_NS - 1) == 0
    assert lent(lending, first, START + UNDISTURBED_NS) > 0


def test_workers_are_forgotten_once_their_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LESSEES", 2)
    lending = Lending()
    first, second, third = (lending.lessee(worker, START) for worker in "abc")
    lent(lending, first, START)
    assert lending.change() == [first]
    lending.lessee("d", START + LEASE_NS)
    assert lending.change() == []
    assert lending.lessee("c", START + LEASE_NS) is third
    assert lending.lessee("a", START + LEASE_NS) is not first
    assert lending.lessee("b", START + LEASE_NS) is not second


# --- whatever happens -----------------------------------------------------------------------------------------------

WORKERS = st.sampled_from("ab")


class _Worker:
    """An edge worker as the contract has it: what it sends and is sent goes in order, or is lost with the stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.until_ns = 0
        self.has: dict[int, int] = {}
        """By speaker: the number of changes when it was granted."""
        self.sent: deque[dict[str, Any]] = deque()
        self.told: deque[dict[str, Any]] = deque()

    def may_use(self, speaker: int, now_ns: int) -> bool:
        return speaker in self.has and now_ns < self.until_ns


class LendingMachine(RuleBasedStateMachine):
    """Lending, and who asks, recalls and settles as api/grpc does, against workers that hear of it late or never."""

    @initialize()
    def begin(self) -> None:
        self.now_ns = START
        self.lending = Lending(window_ns=UNDISTURBED_NS)
        self.workers = {name: _Worker(name) for name in "ab"}
        self.waiting: dict[int, deque[str]] = {}
        self.counted: dict[int, list[tuple[str, int]]] = {ANA_KEY: []}
        """By speaker: whose messages were counted, and when."""
        self.settling: set[int] = set()

    @rule(worker=WORKERS)
    def says(self, worker: str, speaker: int = ANA_KEY) -> None:
        """It is admitted by what is lent, or asked about."""
        edge = self.workers[worker]
        if edge.may_use(speaker, self.now_ns):
            self.counts(worker, speaker)
            edge.sent.append({"at": self.now_ns, "said": speaker})
        else:
            edge.sent.append({"at": self.now_ns, "asked": speaker})

    @rule(worker=WORKERS)
    def renews(self, worker: str) -> None:
        self.workers[worker].sent.append({"at": self.now_ns})

    @rule(worker=WORKERS)
    def gives_back(self, worker: str, speaker: int = ANA_KEY) -> None:
        """What is quiet; the same stream does not wait for an answer about it."""
        edge = self.workers[worker]
        if any(request.get("asked") == speaker for request in edge.sent):
            return
        if any(answer.get("granted") == speaker for answer in edge.told):
            return
        if edge.has.pop(speaker, None) is not None:
            edge.sent.append({"at": self.now_ns, "returned": speaker})

    @precondition(lambda self: any(edge.sent for edge in self.workers.values()))
    @rule(worker=WORKERS)
    def is_heard(self, worker: str) -> None:
        """The next request arrives, and is answered."""
        edge = self.workers[worker]
        if not edge.sent:
            return
        request = edge.sent.popleft()
        lessee = self.lending.lessee(worker, self.now_ns)
        answer: dict[str, Any] = {"heard": request["at"]}
        if "said" in request:
            self.lending.note_message(request["said"], lessee, self.now_ns)
        if "returned" in request:
            self.lending.returned(request["returned"], lessee)
            self.judge_waiting(request["returned"])
        if "returned_all" in request:
            self.lending.returned_all(lessee, request["returned_all"])
            for speaker in list(self.waiting):
                self.judge_waiting(speaker)
        if "asked" in request:
            answer |= self.asked(request["asked"], worker, lessee)
        edge.told.append(answer)

    def asked(self, speaker: int, worker: str, lessee: Lessee) -> dict[str, Any]:
        self.lending.note_message(speaker, lessee, self.now_ns)
        if speaker in self.waiting or self.lending.holder(speaker, lessee, self.now_ns) is not None:
            self.waiting.setdefault(speaker, deque()).append(worker)
            self.recall(speaker)
            return {}
        self.is_judged(worker, speaker)
        if not self.lending.lend(said_by(user(speaker, f"{worker}:1")), lessee, self.now_ns):
            return {}
        for whose, at_ns in self.counted[speaker]:
            assert whose == worker or at_ns + UNDISTURBED_NS <= self.now_ns, "the worker does not know all that counts"
        return {"granted": speaker, "change": self.lending.changes}

    def is_judged(self, worker: str, speaker: int) -> None:
        for name, edge in self.workers.items():
            assert name == worker or not edge.may_use(speaker, self.now_ns), "two count a speaker at the same time"
        self.counts(worker, speaker)

    def counts(self, worker: str, speaker: int) -> None:
        self.counted[speaker].append((worker, self.now_ns))

    def recall(self, speaker: int) -> None:
        for worker, edge in self.workers.items():
            if self.lending.holder(speaker, None, self.now_ns) is self.lending._lessees.get(worker):
                edge.told.append({"recalled": speaker})

    def judge_waiting(self, speaker: int) -> None:
        waiting = self.waiting.get(speaker, deque())
        while waiting:
            worker = waiting[0]
            lessee = self.lending._lessees[worker]
            if self.lending.holder(speaker, lessee, self.now_ns) is not None:
                return
            waiting.popleft()
            self.lending.note_message(speaker, lessee, self.now_ns)
            self.is_judged(worker, speaker)
        self.waiting.pop(speaker, None)

    @precondition(lambda self: any(edge.told for edge in self.workers.values()))
    @rule(worker=WORKERS)
    def hears(self, worker: str) -> None:
        """The next answer or recall arrives."""
        edge = self.workers[worker]
        if not edge.told:
            return
        told = edge.told.popleft()
        if "heard" in told:
            if self.now_ns >= edge.until_ns:
                edge.has.clear()
            edge.until_ns = max(edge.until_ns, told["heard"] + LEASE_NS)
        if "granted" in told:
            edge.has[told["granted"]] = told["change"]
        if "recalled" in told:
            edge.has.pop(told["recalled"], None)
            edge.sent.append({"at": self.now_ns, "returned": told["recalled"]})
        if "recalled_all" in told:
            edge.has.clear()
            edge.sent.append({"at": self.now_ns, "returned_all": told["recalled_all"]})

    @rule(worker=WORKERS)
    def all_arrives(self, worker: str) -> None:
        edge = self.workers[worker]
        while edge.sent or edge.told:
            self.is_heard(worker)
            self.hears(worker)

    @rule()
    def something_changes(self) -> None:
        self.lending.change()
        self.settling.add(self.lending.changes)
        for edge in self.workers.values():
            edge.told.append({"recalled_all": self.lending.changes})

    @rule(worker=WORKERS)
    def the_stream_is_lost(self, worker: str) -> None:
        """With all that was on its way; the worker forgets what it had, and opens another one."""
        edge = self.workers[worker]
        edge.has.clear()
        edge.sent.clear()
        edge.told.clear()

    @rule(worker=WORKERS)
    def what_was_sent_is_heard_after_its_stream_is_lost(self, worker: str) -> None:
        edge = self.workers[worker]
        edge.has.clear()
        edge.told.clear()
        while edge.sent:
            self.is_heard(worker)
        edge.told.clear()

    @rule(seconds=st.sampled_from((0.2, 0.9, 109.0)))
    def time_goes_by(self, seconds: float) -> None:
        self.now_ns += int(seconds * S)

    @invariant()
    def what_waits_is_judged_in_time(self) -> None:
        for speaker in list(getattr(self, "waiting", ())):
            self.judge_waiting(speaker)

    @invariant()
    def what_is_settled_holds_for_all(self) -> None:
        for change in list(getattr(self, "settling", ())):
            if not self.lending.owing(change, self.now_ns):
                self.settling.remove(change)
                for edge in self.workers.values():
                    for speaker, granted in edge.has.items():
                        assert granted >= change or not edge.may_use(speaker, self.now_ns)


LendingMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestLending = LendingMachine.TestCase
