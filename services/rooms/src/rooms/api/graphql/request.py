"""What the fields of one request share: who asks, the ports, batches, and how much may still be given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strawberry.dataloader import DataLoader

from rooms.domain.people import Life, Slug, Viewer
from rooms.domain.rooms import Participant, Room
from rooms.domain.sanctions import Sanction, Target
from rooms.errors import InvalidInput, Refusal
from rooms.ports import Moderation, Ports
from rooms.usecases import queries

ELEMENT_LIMIT = 5000
"""List elements in one answer: lists within lists multiply, and each element costs processor time."""
_BATCH_LIMIT = 500


@dataclass(frozen=True, slots=True)
class ParticipantPage:
    """One participants field of one room."""

    room: Room
    first: int
    after: int | None
    with_state: bool


class Request:
    """The context value of an execution; lives as long as it."""

    def __init__(self, ports: Ports, viewer: Viewer | None, operation_name: str) -> None:
        self.viewer = viewer
        self.operation_name = operation_name
        self.ports = replace(ports, moderation=_RememberedSanctions(ports.moderation))
        self._elements_left = ELEMENT_LIMIT
        self._participants: DataLoader[ParticipantPage, list[Participant]] = DataLoader(
            self._load_participants, max_batch_size=_BATCH_LIMIT
        )
        self._counts: DataLoader[Life, int] = DataLoader(self._load_counts, max_batch_size=_BATCH_LIMIT)

    async def participant_count(self, room: Room) -> int:
        """How many people are in a room. Asked for many rooms at once this is one question to the store."""
        return 0 if room.life is None else await self._counts.load(room.life)

    async def participants(self, page: ParticipantPage) -> list[Participant]:
        """Who is in a room. Asked for many rooms at once this is one question to the store and one to moderation.
        Raises InvalidInput, ModerationUnavailable."""
        people = await self._participants.load(page)
        self.count_elements(len(people))
        return people

    def count_elements(self, number: int) -> None:
        """Take this many list elements out of what one answer may hold. Raises InvalidInput."""
        self._elements_left -= number
        if self._elements_left < 0:
            raise InvalidInput(f"The answer would have more than {ELEMENT_LIMIT} list elements: ask for shorter lists")

    async def _load_counts(self, lives: list[Life]) -> list[int]:
        found = await queries.count_people(self.ports, lives)
        return [found.get(life, 0) for life in lives]

    async def _load_participants(self, pages: list[ParticipantPage]) -> list[list[Participant] | BaseException]:
        """Pages that differ in the room alone are loaded together; a refusal meets those alone that it is about."""
        alike: dict[tuple[int, int | None, bool], list[Room]] = {}
        for page in pages:
            alike.setdefault((page.first, page.after, page.with_state), []).append(page.room)
        found: dict[ParticipantPage, list[Participant] | BaseException] = {}
        for (first, after, with_state), rooms in alike.items():
            try:
                people = await queries.list_participants(
                    self.ports, rooms, first=first, after=after, with_states=with_state
                )
                found |= {ParticipantPage(r, first, after, with_state): people[r] for r in rooms}
            except Refusal as refusal:
                found |= {ParticipantPage(r, first, after, with_state): refusal for r in rooms}
        return [found[page] for page in pages]


class _RememberedSanctions:
    """The moderation port, asked about each target in each slug once a request."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation
        self._known: dict[Slug, set[Target]] = {}
        self._found: dict[int, Sanction] = {}
        self.list_sanctions = moderation.list_sanctions
        self.lift_sanction = moderation.lift_sanction
        self.list_audit, self.list_held = moderation.list_audit, moderation.list_held
        self.verify_audit = moderation.verify_audit
        self.list_undoable = moderation.list_undoable
        self.undo = moderation.undo
        self.revoke_tokens, self.revoke_token = moderation.revoke_tokens, moderation.revoke_token
        self.erase_user = moderation.erase_user
        self.list_rules, self.try_text = moderation.list_rules, moderation.try_text
        self.make_rule, self.replace_rule = moderation.make_rule, moderation.replace_rule
        self.delete_rule, self.list_rule_hits = moderation.delete_rule, moderation.list_rule_hits
        self.set_role = moderation.set_role
        self.list_roles = moderation.list_roles
        self.list_reports, self.slug_of_report = moderation.list_reports, moderation.slug_of_report
        self.resolve_report = moderation.resolve_report
        self.request_unban = moderation.request_unban
        self.get_case, self.add_note = moderation.get_case, moderation.add_note
        self.slug_of_note, self.delete_note = moderation.slug_of_note, moderation.delete_note
        self.list_unban_requests = moderation.list_unban_requests
        self.slug_of_unban_request = moderation.slug_of_unban_request
        self.decide_unban_request = moderation.decide_unban_request

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        """See Moderation. Raises ModerationUnavailable."""
        unknown = [target for target in targets if any(target not in self._known.get(slug, ()) for slug in slugs)]
        if unknown:
            self._found |= {s.id: s for s in await self._moderation.list_active(slugs, unknown)}
            for slug in slugs:
                self._known.setdefault(slug, set()).update(unknown)
        return list(self._found.values())
