"""The page at `/`, driven by a real browser: two people, a moderator, phone and keyboard, outages."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import pytest
import pytest_asyncio
import salon_processes
from chat_client import OBEYED_AFTER_S, Person, Visitors, in_an_hour, mint, person
from graphql_client import GraphQL
from playwright.async_api import Browser, Page, Route, ViewportSize, WebSocketRoute, async_playwright, expect
from salon_processes import CHROMIUM_ARGUMENTS, Edge, Salon
from wire_contract import watch_page

DESKTOP = ViewportSize(width=1200, height=760)
PHONE = ViewportSize(width=360, height=700)


@pytest.fixture(scope="module")
def dev_edge(salon: Salon) -> Edge:
    """An edge that gives out development tokens of every role."""
    return salon.start_edge({"SALON_DEV_ROLES": "1"})


@pytest_asyncio.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Headless Chromium."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield running
        await running.close()


class Window:
    """One visitor's browser window; complaints of the page's script or policy, and frames that the contract does not
    know, fail the test."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        watch_page(page, self.complaints)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if "Security Policy" in message.text else None,
        )

    async def enter(self, edge: Edge, room: str, name: str | None, role: str = "") -> Page:
        """Come in, by keyboard."""
        page = self.page
        await page.goto(f"{edge.http}/?room={room}")
        await expect(page.get_by_label("Room", exact=True)).to_have_value(room)
        if name is None:
            await page.get_by_label("No name").check()
        else:
            await page.get_by_label("Name", exact=True).and_(page.locator("input[name=name]")).fill(name)
            if role:
                await page.get_by_label("Role").select_option(role)
        await page.get_by_role("button", name="Enter the room").press("Enter")
        await self.connected()
        return page

    async def connected(self) -> None:
        """Wait until it says so."""
        await expect(self.page.locator("#state")).to_have_attribute("data-state", "on", timeout=15_000)

    async def say(self, text: str) -> None:
        """Type into the composer and press Enter."""
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.page.keyboard.press("Enter")


OpenWindow = Callable[..., Awaitable[Window]]


@pytest_asyncio.fixture
async def window(browser: Browser) -> AsyncIterator[OpenWindow]:
    """Opens windows of different people."""
    opened: list[Window] = []

    async def open_window(
        *, phone: bool = False, scheme: Literal["light", "dark"] = "light", moves: bool = False
    ) -> Window:
        context = await browser.new_context(
            viewport=PHONE if phone else DESKTOP,
            is_mobile=phone,
            has_touch=phone,
            color_scheme=scheme,
            reduced_motion="no-preference" if moves else "reduce",
        )
        opened.append(Window(await context.new_page()))
        return opened[-1]

    yield open_window
    assert [w.complaints for w in opened] == [[] for _ in opened]


async def test_two_people_talk_in_a_browser(window: OpenWindow, dev_edge: Edge, room: str) -> None:
    ana, jonas = await window(), await window(phone=True, scheme="dark")
    first, second = await ana.enter(dev_edge, room, "Ana"), await jonas.enter(dev_edge, room, "Jonas")
    await expect(first.get_by_role("log")).to_contain_text("Jonas came in")
    await expect(first.locator("#count")).to_have_text("2 connected · ")
    await jonas.page.get_by_label("Message", exact=True).press_sequentially("Hi A")
    await expect(first.get_by_text("Jonas is typing…")).to_be_visible()
    await jonas.say("Hi Ana <b>bold</b> &amp; all")
    await expect(first.get_by_role("log").get_by_text("Hi Ana <b>bold</b> &amp; all", exact=True)).to_be_visible()
    await expect(first.get_by_text("Jonas is typing…")).to_be_hidden()
    await ana.say("Hi Jonas")
    await expect(second.get_by_role("log").get_by_text("Hi Jonas", exact=True)).to_be_visible()
    await expect(second.locator("#outbox > *")).to_have_count(0)
    await second.get_by_role("button", name="Leave").first.click()
    await expect(first.get_by_role("log")).to_contain_text("Jonas left")


@pytest.mark.slow
async def test_on_a_phone_nothing_is_wider_than_the_screen_and_long_words_wrap(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    phone = await window(phone=True)
    page = await phone.enter(dev_edge, room, "Phone")
    await phone.say("x" * 600)
    await expect(page.get_by_role("log")).to_contain_text("x" * 600)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = await page.get_by_label("Message", exact=True).bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= PHONE["height"]


async def test_who_is_warned_reads_why_and_writes_again_once_they_say_so(
    window: OpenWindow, dev_edge: Edge, room: str, visitors: Visitors, moderator: Person
) -> None:
    guest, chair = await window(), await visitors.join(room, moderator, ws=dev_edge.ws)
    addresses: list[str] = []
    guest.page.on("websocket", lambda socket: addresses.append(socket.url))
    theirs = await guest.enter(dev_edge, room, None)
    assert "since=0" in addresses[0]  # by which the server knows that its warnings do not lapse by themselves
    target = {"target_username": "Anonymous_127.0.0.1", "reason": "No links, please"}
    await chair.send("moderation_action", action="warn", **target)
    await expect(theirs.get_by_role("log")).to_contain_text("A moderator warned you: No links, please")
    await guest.say("noise")
    await expect(theirs.locator("#outbox")).to_contain_text("Read the warning above first")
    await theirs.get_by_role("button", name="I have read this").click()
    await expect(theirs.get_by_role("button", name="I have read this")).to_have_count(0)
    await theirs.get_by_role("button", name="Send again").click()
    await chair.wait_for("chat_message", message="noise")


@pytest.mark.slow
async def test_a_moderator_mutes_with_a_reason_and_unmutes_and_bans(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, guest = await window(), await window()
    page, theirs = await chair.enter(dev_edge, room, "Chair", "admin"), await guest.enter(dev_edge, room, "Loud")
    await guest.say("noise")
    await page.get_by_role("button", name="Moderate Loud").click()
    dialog = page.get_by_role("dialog", name="Moderate Loud")
    await dialog.get_by_label("For how long").select_option("60")
    await dialog.get_by_label("Reason").fill("too loud")
    await dialog.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("log")).to_contain_text("Loud was muted for 1 hour, by you")
    await expect(theirs.get_by_role("alert").filter(has_text="You were muted")).to_be_visible()
    await guest.say("more noise")
    await expect(theirs.locator("#outbox")).to_contain_text("You are muted")
    await page.get_by_role("button", name="Undo", exact=True).click()
    await expect(theirs.get_by_role("log")).to_contain_text("You may write again")
    await theirs.get_by_role("button", name="Send again").click()
    await expect(page.get_by_role("log")).to_contain_text("more noise")
    await page.get_by_role("button", name="Moderate Loud").first.click()
    await dialog.get_by_label("What to do").select_option("ban")
    await dialog.get_by_role("button", name="Ban", exact=True).click()
    await expect(theirs.get_by_role("heading", name="You were banned from this room")).to_be_visible()
    await theirs.get_by_role("button", name="Try again").click()
    await expect(theirs.get_by_role("heading", name="You are banned from this room")).to_be_visible()


MARKUP = '<img src=x onerror="window.ran = 1">'


async def test_a_moderator_pins_warns_and_deletes_and_what_anybody_writes_is_text_alone(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, guest = await window(), await window(phone=True, scheme="dark")
    page, theirs = await chair.enter(dev_edge, room, "Chair", "moderator"), await guest.enter(dev_edge, room, MARKUP)
    await guest.say(f"look {MARKUP}")
    shield = page.get_by_role("log").locator("article", has_text="look <img").get_by_role("button", name="Moderate")
    dialog = page.get_by_role("dialog")
    await shield.press("Enter")
    await expect(dialog.locator("#quote")).to_have_text(f"look {MARKUP}")
    await dialog.get_by_role("button", name="Pin", exact=True).press("Enter")
    await shown_to(page, theirs, pin=f"{MARKUP} look {MARKUP}")
    await expect(theirs.get_by_role("button", name="Unpin")).to_be_hidden()
    await shield.press("Enter")
    await dialog.get_by_label("What to do").select_option("warn")
    await dialog.get_by_role("button", name="Warn").click()
    await expect(dialog).to_be_visible()  # a warning says why
    await dialog.get_by_label("Reason").fill(f"why {MARKUP}")
    await dialog.get_by_role("button", name="Warn").click()
    await expect(page.get_by_role("log")).to_contain_text("was warned, by you")
    await expect(theirs.locator("#warnings")).to_contain_text(f"You were warned: why {MARKUP}")
    await theirs.get_by_role("button", name="I have read this").click()
    await expect(theirs.locator("#warnings > *")).to_have_count(0)
    await shield.press("Enter")
    await dialog.get_by_role("button", name="Delete message").press("Enter")
    await shown_to(page, theirs, pin=None, gone=1)
    await page.get_by_role("button", name="Room settings").click()
    done = [f"Removed a message of {MARKUP}", f"Warned {MARKUP}", f"Pinned a message of {MARKUP}"]
    await expect(page.locator("#deeds li")).to_have_text(done)  # a moderator undoes nothing
    await expect(page.locator("#policy-part")).to_be_hidden()


async def shown_to(*pages: Page, pin: str | None, gone: int = 0) -> None:
    """The pin, and how many messages are gone; nothing that somebody wrote has become more than text."""
    for page in pages:
        strip = page.get_by_role("region", name="Pinned message")
        await (expect(strip).to_be_hidden() if pin is None else expect(strip).to_contain_text(pin))
        await expect(page.get_by_role("log").get_by_text("This message was removed.")).to_have_count(gone)
        assert await page.evaluate("[window.ran === undefined, document.images.length]") == [True, 0]
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
async def test_one_deletes_ones_own_message_and_is_offered_nothing_on_those_of_others(
    window: OpenWindow, dev_edge: Edge, room: str, visitors: Visitors, ana: Person
) -> None:
    writer = await window()
    page = await writer.enter(dev_edge, room, "Writer")
    await (await visitors.join(room, ana, ws=dev_edge.ws)).say("hers")
    await writer.say("a slip")
    log = page.get_by_role("log")
    await log.get_by_role("button", name="Delete your message").click()
    await expect(page.get_by_role("button", name="Pin", exact=True)).to_be_hidden()
    await page.get_by_role("button", name="Delete message").click()
    await expect(log).not_to_contain_text("a slip")
    await expect(log).to_contain_text("hers")
    await expect(page.get_by_role("button", name=re.compile("Moderate|Room settings"))).to_have_count(0)


REPORTS = "query($slug: String!) { reports(slug: $slug) { category note messageText targetUsername } }"


async def test_a_viewer_reports_a_message_and_is_told_so_or_why_not(
    window: OpenWindow,
    dev_edge: Edge,
    room: str,
    visitors: Visitors,
    ana: Person,
    moderator: Person,
    graphql: GraphQL,
) -> None:
    viewer, guest, talker = await window(phone=True), await window(), await visitors.join(room, ana, ws=dev_edge.ws)
    page, theirs = await viewer.enter(dev_edge, room, "Viewer"), await guest.enter(dev_edge, room, None)
    for number in range(6):
        await talker.say(f"{number} {MARKUP}")
    dialog = page.get_by_role("dialog", name=f"Report a message of {ana.username}")
    for number in range(6):
        message = page.get_by_role("log").locator("article", has_text=f"{number} <img")
        await message.get_by_role("button", name="report").press("Enter")
        await page.get_by_role("button", name="Report…").press("Enter")
        await expect(dialog.locator("#report-quote")).to_have_text(f"{number} {MARKUP}")
        await dialog.get_by_role("button", name="Send report").press("Enter")
        await expect(dialog).to_be_visible()  # a report says what is wrong
        await dialog.get_by_label("What is wrong with it").select_option("hate")
        await dialog.get_by_label("Note").fill(f"look {MARKUP}")
        await dialog.get_by_role("button", name="Send report").press("Enter")
        if number < 5:
            await expect(page.locator("#notice")).to_contain_text("Reported. The moderators of the room are told.")
            await expect(dialog).to_be_hidden()
    await expect(dialog.get_by_role("alert")).to_contain_text("You have reported enough for now. Try again in ")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    kept = (await graphql.run(REPORTS, moderator, slug=room))["reports"]
    told = {"category": "HATE", "note": f"look {MARKUP}", "targetUsername": ana.username}
    assert kept == [told | {"messageText": f"{number} {MARKUP}"} for number in (4, 3, 2, 1, 0)]
    await theirs.get_by_role("button", name="React to").first.click()
    await expect(theirs.get_by_role("button", name="Report…")).to_have_count(0)


async def test_a_message_waits_until_a_moderator_allows_or_denies_it(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, guest = await window(), await window(phone=True)
    theirs = await guest.enter(dev_edge, room, "Guest")  # before anybody could learn who that is
    page = await chair.enter(dev_edge, room, "Chair", "admin")
    await page.get_by_role("button", name="Room settings").click()
    form = page.locator("#policy")
    await form.get_by_label("Links").select_option("hold")
    await form.get_by_role("button", name="Apply").click()
    await expect(theirs.locator("#holds")).to_contain_text("Links wait for a moderator")
    await page.get_by_role("button", name="Room settings").click()
    await asyncio.sleep(OBEYED_AFTER_S)
    for text in (f"see good.com {MARKUP}", "see evil.com"):
        await guest.say(text)
        await expect(theirs.locator("#outbox .held").last).to_contain_text("Waits for a moderator")
    waiting = page.get_by_role("region", name="Messages that wait").get_by_role("listitem")
    await expect(waiting).to_have_count(2)
    await expect(waiting.first).to_contain_text(f"see good.com {MARKUP}")
    await expect(waiting.locator("strong")).to_have_text(["Guest", "Guest"], timeout=15_000)
    await waiting.first.get_by_role("button", name="Allow").press("Enter")
    await expect(page.get_by_role("log")).to_contain_text(f"see good.com {MARKUP}")
    await expect(theirs.get_by_role("log")).to_contain_text(f"see good.com {MARKUP}")
    await expect(theirs.locator("#outbox .held")).to_have_count(1)
    await expect(waiting).to_have_count(1, timeout=15_000)
    await expect(waiting.get_by_role("button", name="Allow")).to_be_focused()  # and not lost with what is decided
    await waiting.get_by_role("button", name="Deny").click()
    await expect(theirs.locator("#outbox")).to_contain_text("A moderator did not accept it.")
    await expect(page.locator("#feed-state")).to_have_text("Nothing waits for you.")
    await expect(page.locator("#events li")).to_contain_text(["You denied a message of Guest", "You allowed a message"])
    await expect(page.get_by_role("log")).not_to_contain_text("see evil.com")


async def test_moderators_are_shown_what_waits_and_happens_and_one_of_them_resolves_a_report(
    window: OpenWindow, dev_edge: Edge, room: str, visitors: Visitors, ana: Person, bob: Person
) -> None:
    chair, helper = await window(), await window(phone=True, scheme="dark")
    page = await chair.enter(dev_edge, room, "Chair", "admin")
    phone = await helper.enter(dev_edge, room, "Mo", "moderator")
    loud, viewer = await visitors.join(room, ana, ws=dev_edge.ws), await visitors.join(room, bob, ws=dev_edge.ws)
    said = await loud.say(f"noise {MARKUP}")
    await viewer.send("report", message_id=said["id"], category="hate", note=f"again {MARKUP}")
    await expect(phone.locator("#waiting-text")).to_have_text("1 report waits for you")
    await phone.get_by_role("button", name="Show").press("Enter")
    await expect(phone.locator("#feed-title")).to_be_focused()
    for one in (page, phone):
        report = one.get_by_role("region", name="Reports").get_by_role("listitem")
        for text in (f"{ana.username} · hate", f"noise {MARKUP}", f"again {MARKUP}"):
            await expect(report).to_contain_text(text)
    await mute_who_was_reported(phone, f"noise {MARKUP}", "too loud")
    await loud.wait_for("moderation_action", action="mute")
    await page.get_by_role("button", name="Resolve the report").press("Enter")
    dialog = page.get_by_role("dialog", name=f"Resolve the report about {ana.username}")
    await dialog.get_by_label("Note").fill("muted")
    await dialog.get_by_role("button", name="Resolve").click()
    await expect(dialog).to_be_hidden()
    for one in (page, phone):
        await expect(one.get_by_role("region", name="Reports")).to_be_hidden()
        await one.get_by_text("In force here: 1").click()
        for text in (f"{ana.username} · muted until", "too loud"):
            await expect(one.locator("#sanctions-list li")).to_contain_text(text)
    await page.get_by_role("button", name=f"Unmute {ana.username}").click()
    await loud.wait_for("moderation_action", action="unmute")
    for one in (page, phone):
        await expect(one.locator("#sanctions")).to_be_hidden()
        told = [f"unmuted {ana.username}", "resolved a report", f"muted {ana.username}", "was reported: hate"]
        await expect(one.locator("#events li")).to_contain_text(told)
        assert await one.evaluate("[window.ran === undefined, document.images.length]") == [True, 0]
        assert await one.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await phone.keyboard.press("Escape")
    await expect(phone.get_by_role("complementary")).to_be_hidden()


async def mute_who_was_reported(page: Page, text: str, reason: str) -> None:
    """From the report, in the dialog of the message."""
    await page.get_by_role("button", name="Moderate who was reported").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.locator("#quote")).to_have_text(text)
    await dialog.get_by_label("Reason").fill(reason)
    await dialog.get_by_role("button", name="Mute").click()


async def ban(page: Page, name: str, reason: str) -> None:
    """For an hour, from a message."""
    await page.get_by_role("log").get_by_role("button", name=f"Moderate {name}").click()
    dialog = page.get_by_role("dialog", name=f"Moderate {name}")
    await dialog.get_by_label("What to do").select_option("ban")
    await dialog.get_by_label("For how long").select_option("60")
    await dialog.get_by_label("Reason").fill(reason)
    await dialog.get_by_role("button", name="Ban", exact=True).click()


async def decide_on_unban(page: Page, name: str, choice: str, note: str) -> None:
    """Approve or deny what they ask for."""
    await page.get_by_role("button", name=f"{choice} the unban request of {name}").press("Enter")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Note").fill(note)
    await dialog.get_by_role("button", name=choice).press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("region", name="Unban requests")).to_be_hidden()


async def test_who_is_banned_reads_why_asks_to_be_let_in_and_comes_in_once_that_is_approved(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, helper, guest = await window(), await window(), await window(phone=True)
    page = await chair.enter(dev_edge, room, "Chair", "admin")
    other = await helper.enter(dev_edge, room, "Mo", "moderator")
    theirs = await guest.enter(dev_edge, room, "Loud")
    await guest.say("noise")
    await ban(page, "Loud", f"noise {MARKUP}")
    await expect(theirs.get_by_role("heading", name="You were banned from this room")).to_be_visible()
    await expect(theirs.get_by_label("Ask to be let in again")).to_be_visible()
    await theirs.get_by_role("button", name="Try again").click()
    await expect(theirs.get_by_role("heading", name="You are banned from this room")).to_be_visible()
    await expect(theirs.locator("#end")).to_contain_text("It holds until")
    await expect(theirs.locator("#end")).to_contain_text(f"Reason: noise {MARKUP}")
    await theirs.get_by_role("button", name="Send request").press("Enter")
    await expect(theirs.locator("#appeal")).to_be_visible()  # a request says something
    await theirs.get_by_label("Ask to be let in again").fill(f"sorry {MARKUP}")
    await theirs.get_by_role("button", name="Send request").press("Enter")
    await expect(theirs.locator("#appeal-state")).to_contain_text("Nobody has decided yet")
    for one, buttons in ((page, 2), (other, 0)):  # to unban is not for moderators
        request = one.get_by_role("region", name="Unban requests").get_by_role("listitem")
        await expect(request).to_contain_text(f"sorry {MARKUP}")
        await expect(request.get_by_role("button")).to_have_count(buttons)
    await decide_on_unban(page, "Loud", "Approve", f"welcome {MARKUP}")
    await expect(other.locator("#events li").first).to_contain_text("let Loud in again")
    await expect(theirs.get_by_role("heading", name="You may come in again")).to_be_visible(timeout=30_000)
    await expect(theirs.locator("#appeal-state")).to_contain_text(f"They say: “welcome {MARKUP}”")
    for one in (page, theirs):
        assert await one.evaluate("[window.ran === undefined, document.images.length]") == [True, 0]
        assert await one.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await theirs.get_by_role("button", name="Enter the room").click()
    await guest.connected()


@pytest.mark.slow
async def test_who_is_left_banned_reads_so_when_they_come_again_and_when_they_may_ask_again(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, guest = await window(), await window(phone=True, scheme="dark")
    page, theirs = await chair.enter(dev_edge, room, "Chair", "admin"), await guest.enter(dev_edge, room, "Loud")
    await guest.say("noise")
    await ban(page, "Loud", "noise")
    await theirs.get_by_label("Ask to be let in again").fill("sorry")
    await theirs.get_by_role("button", name="Send request").click()
    await decide_on_unban(page, "Loud", "Deny", "not today")
    await theirs.reload()
    await theirs.get_by_role("button", name="Enter the room").click()
    state = theirs.locator("#appeal-state")
    await expect(state).to_contain_text("A moderator denied your request. They say: “not today” You may ask again ")
    await expect(theirs.locator("#appeal")).to_be_hidden()


UNKNOWN = {"kind": "new_kind", "timestamp": "2025-11-27T16:33:00.000Z", "details": {"some_name": MARKUP, "count": 3}}
RAID = {
    "event_id": 9_000_000_000_000_001,
    "kind": "raid",
    "timestamp": "2025-11-27T16:33:00.000Z",
    "details": {
        "newcomers": 212,
        "usual_newcomers": 3,
        "same": 0,
        "usual_same": 0,
        "sample": f"Follow {MARKUP}",
        "window_seconds": 10,
        "shielded": False,
    },
}


@pytest.mark.slow
async def test_an_event_of_a_later_version_is_shown_by_its_kind_and_200_events_stay(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair = await window()
    sockets: list[WebSocketRoute] = []

    def between(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await chair.page.route_web_socket(re.compile("/chat/ws/"), between)
    page = await chair.enter(dev_edge, room, "Chair", "moderator")
    await expect(page.locator("#feed-state")).to_have_text("Nothing waits for you.")
    for number in range(205):
        event = UNKNOWN | {"event_id": 9_000_000_000_000_000 - 205 + number}
        sockets[0].send(json.dumps({"type": "moderation_event", "data": event}))
    await expect(page.locator("#events li")).to_have_count(200)
    shown = page.locator("#events li").first
    await expect(shown).to_contain_text("New kind")
    await expect(shown).to_contain_text(f"some name: {MARKUP}, count: 3")
    sockets[0].send(json.dumps({"type": "moderation_event", "data": RAID}))
    await expect(shown).to_contain_text("A raid, it seems: 212 newcomers (usually 3) within 10 s. No shield is on.")
    await expect(shown).to_contain_text(f"Follow {MARKUP}")
    assert await page.evaluate("[window.ran === undefined, document.images.length]") == [True, 0]


@pytest.mark.slow
async def test_what_happened_while_a_moderator_was_cut_off_is_shown_when_they_are_back(
    window: OpenWindow, salon: Salon, dev_edge: Edge, room: str, visitors: Visitors, admin: Person
) -> None:
    away, chair = await window(), await visitors.join(room, admin)
    page = await away.enter(dev_edge, room, "Mo", "moderator")
    await expect(page.locator("#feed-state")).to_have_text("Nothing waits for you.")
    dev_edge.process.kill()
    await expect(page.locator("#state")).to_have_text("Reconnecting…")
    for number in (1, 2):
        await chair.send("moderation_action", action="mute", target_user_id=7_000_000 + number)
        await chair.wait_for("moderation_action", action="mute")
    dev_edge.process.start()
    await asyncio.to_thread(salon_processes.wait_until_ready, dev_edge)
    await away.connected()
    told = ["muted user 7000002", "muted user 7000001"]
    await expect(page.locator("#events li")).to_contain_text(told, timeout=15_000)
    await expect(page.locator("#sanctions-title")).to_have_text("In force here: 2")
    await expect(page.locator("#events")).not_to_contain_text("missing")
    await page.close()


async def test_the_policy_is_changed_shown_obeyed_and_undone(window: OpenWindow, dev_edge: Edge, room: str) -> None:
    chair, guest = await window(), await window(phone=True)
    page, theirs = await chair.enter(dev_edge, room, "Chair", "admin"), await guest.enter(dev_edge, room, "Guest")
    await page.get_by_role("button", name="Room settings").click()
    form = page.locator("#policy")
    apply = form.get_by_role("button", name="Apply")
    await expect(apply).to_be_disabled()
    await form.get_by_label("Slow mode").select_option("600")
    await form.get_by_label("Links").select_option("refuse")
    await form.get_by_label("Messages shown").select_option("50")
    await apply.click()
    holds = theirs.get_by_role("group", name="What messages are held to")
    shown = ["Slow mode: 10 minutes", "No links", "At most 50 messages shown a second"]
    await expect(holds.locator("span")).to_have_text(shown)
    await expect(apply).to_be_disabled()
    await guest.say("https://example.com")
    await expect(theirs.locator("#outbox")).to_contain_text("Links are not allowed here.")
    await theirs.get_by_role("button", name="Discard").click()
    await guest.say("first")
    await expect(page.get_by_role("log")).to_contain_text("first")
    await expect(theirs.locator("#left")).to_have_text(re.compile(r"^(600|59\d) s$"))
    await theirs.get_by_label("Message", exact=True).fill("second")
    await expect(theirs.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    await page.get_by_role("button", name="Undo: Changed the room").click()
    await expect(page.locator("#deeds")).to_contain_text("Undone.")
    await expect(holds).to_be_hidden()
    await expect(form.get_by_label("Slow mode")).to_have_value("0")
    await theirs.keyboard.press("Enter")
    await expect(page.get_by_role("log")).to_contain_text("second")
    assert await theirs.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
async def test_a_delayed_message_is_shown_to_moderators_first_and_marked_and_what_they_remove_nobody_sees(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, writer, guest = await window(), await window(), await window(phone=True)
    page = await chair.enter(dev_edge, room, "Chair", "admin")
    own, theirs = await writer.enter(dev_edge, room, "Ana", "user"), await guest.enter(dev_edge, room, "Guest")
    await page.get_by_role("button", name="Room settings").click()
    await page.locator("#policy").get_by_label("Delay for viewers").select_option("6")
    await page.locator("#policy").get_by_role("button", name="Apply").click()
    holds = theirs.get_by_role("group", name="What messages are held to")
    await expect(holds.locator("span")).to_have_text(["Viewers see messages 6 s later"])
    await asyncio.sleep(OBEYED_AFTER_S)
    await writer.say("something rude")
    await writer.say("something nice")
    for early in (page, own):
        await expect(early.locator("article.early")).to_have_count(2)
    await page.locator("article", has_text="something rude").get_by_role("button", name="Moderate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete message").press("Enter")
    await expect(own.locator("article.gone")).to_have_count(1)
    await expect(theirs.get_by_role("log").locator("article")).to_have_count(0)
    await expect(theirs.get_by_role("log").locator("article")).to_have_text(
        [re.compile("something nice")], timeout=15_000
    )
    for early in (page, own):
        await expect(early.locator("article.early:not(.gone)")).to_have_count(0)
        await expect(early.locator("article")).to_have_count(2)


@pytest.mark.slow
async def test_the_form_of_the_policy_follows_another_admin_and_an_undo_that_comes_too_late_says_so(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    windows = [await window(), await window(), await window(phone=True)]
    names = zip(windows, ("Chair", "Other", "Guest"), ("admin", "admin", "user"), strict=True)
    first, second, theirs = [await one.enter(dev_edge, room, name, role) for one, name, role in names]
    for page in (first, second):
        await page.get_by_role("button", name="Room settings").click()
    await second.get_by_label("No repetitions").check()
    await first.get_by_label("Who may write").select_option("everyone")
    await first.get_by_role("button", name="Apply").click()
    await expect(theirs.get_by_label("Message", exact=True)).to_be_disabled()
    await expect(second.get_by_label("Who may write")).to_have_value("everyone")
    await expect(second.get_by_label("No repetitions")).to_be_checked()  # touched, and not applied yet
    await second.get_by_label("Who may write").select_option("nobody")
    await second.get_by_role("button", name="Apply").click()
    await expect(theirs.get_by_label("Message", exact=True)).to_be_enabled()
    await expect(theirs.locator("#holds span")).to_have_text(["No repetitions"])
    await expect(first.get_by_label("Who may write")).to_have_value("nobody")
    await first.get_by_role("button", name="Undo: Changed the room: now read-only").click()
    await expect(first.locator("#deeds")).to_contain_text("Nothing is left to undo")
    await expect(first.locator("#deeds button")).to_have_count(0)


@pytest.mark.slow
async def test_an_undone_mute_is_over_and_a_purge_takes_all_of_its_target_along(
    window: OpenWindow, dev_edge: Edge, room: str, visitors: Visitors, ana: Person, admin: Person
) -> None:
    chair, loud = await window(), await visitors.join(room, ana, ws=dev_edge.ws)
    page = await chair.enter(dev_edge, room, "Chair", "admin")
    for text in ("one", "two"):
        await loud.say(text)
    log, dialog = page.get_by_role("log"), page.get_by_role("dialog")
    await log.get_by_role("button", name="Moderate").first.click()
    await dialog.get_by_label("Remove their messages too").check()
    await dialog.get_by_role("button", name="Mute").click()
    await expect(log.locator("article.gone")).to_have_count(2)
    await page.get_by_role("button", name="Room settings").click()
    await page.get_by_role("button", name=f"Undo: Muted {ana.username}").click()
    await loud.wait_for("moderation_action", action="unmute")
    await expect(page.locator("#deeds")).to_contain_text("Undone. It stays: messages.")
    await loud.say("three")
    await log.get_by_role("button", name="Moderate").last.click()
    await dialog.get_by_label("What to do").select_option("purge")
    await dialog.get_by_role("button", name="Remove all their messages").click()
    await expect(log.locator("article.gone")).to_have_count(3)
    above = await visitors.join(room, person("Root", "superuser"), ws=dev_edge.ws)
    await above.say("from above")
    await log.get_by_role("button", name="Moderate Root").click()
    await dialog.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("alert").filter(has_text="Not done: mute (Root")).to_be_visible()
    await (await visitors.join(room, admin)).send("moderation_action", action="clear")
    await expect(log).to_contain_text("removed all messages")
    await expect(log.locator("article:not(.gone)")).to_have_count(0)


@pytest.mark.slow
async def test_a_moderator_turns_the_shield_on_and_ends_it(window: OpenWindow, dev_edge: Edge, room: str) -> None:
    helper, chair, guest = await window(), await window(), await window(phone=True)
    page = await helper.enter(dev_edge, room, "Mo", "moderator")
    above, theirs = await chair.enter(dev_edge, room, "Ada", "admin"), await guest.enter(dev_edge, room, None)
    for desk in (page, above):
        await desk.get_by_role("button", name="Room settings").click()
    await expect(page.locator("#policy, #clear-open").filter(visible=True)).to_have_count(0)
    shield = page.locator("#shield")
    await shield.get_by_label("Shield for").select_option("60")
    await shield.get_by_role("button", name="Turn on").click()
    holds = theirs.get_by_role("group", name="What messages are held to")
    await expect(holds).to_contain_text("Shield until")
    await expect(theirs.get_by_label("Message", exact=True)).to_be_disabled()
    await expect(shield).to_contain_text("On until")
    await expect(shield.get_by_label("Shield for")).to_be_hidden()
    await expect(page.locator("#deeds")).to_contain_text("Changed the room: now slow mode")
    await expect(page.locator("#deeds button")).to_have_count(0)  # to undo is not for moderators
    await expect(above.locator("#slow_mode_seconds")).to_have_value("30")
    await shield.get_by_role("button", name="End the shield").click()
    await expect(holds).to_be_hidden()
    await expect(theirs.get_by_label("Message", exact=True)).to_be_enabled()
    await expect(above.locator("#shield")).to_contain_text("Turn on")


@pytest.mark.slow
async def test_an_admin_removes_all_messages_once_they_have_said_so_twice(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    chair, guest = await window(), await window(phone=True)
    page, theirs = await chair.enter(dev_edge, room, "Ada", "admin"), await guest.enter(dev_edge, room, None)
    await guest.say("hello")
    await page.get_by_role("button", name="Room settings").click()
    await page.get_by_role("button", name="Remove all messages…").click()
    dialog = page.get_by_role("dialog", name="Remove all messages?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("log")).to_contain_text("hello")
    await page.get_by_role("button", name="Remove all messages…").click()
    await dialog.get_by_role("button", name="Remove all messages").click()
    await expect(theirs.get_by_role("log")).to_contain_text("removed all messages.")
    await expect(theirs.locator("article:not(.gone)")).to_have_count(0)
    await expect(page.locator("#deeds")).to_contain_text("Removed all messages")


async def enter_by_token(page: Page, edge: Edge, room: str, one: Person, role: str) -> None:
    """Come in with one's own token, and be told what one is here."""
    await page.goto(f"{edge.http}/?room={room}")
    await page.get_by_role("radio", name="Token").check()
    await page.get_by_role("textbox", name="Token").fill(one.token)
    await page.get_by_role("button", name="Enter the room").click()
    await expect(page.locator("#whoami")).to_have_text(f"you are {one.username} ({role})")


@pytest.mark.slow
async def test_the_owner_of_a_room_is_shown_what_they_may_do_and_a_vip_waits_for_no_slow_mode(
    window: OpenWindow, dev_edge: Edge, room: str, ana: Person, bob: Person, graphql: GraphQL
) -> None:
    await graphql.create("Ana's", ana, slug=room)
    given = "mutation($slug: String!, $id: SafeInt!) { setRoomRole(slug: $slug, userId: $id, role: VIP) { role } }"
    await graphql.run(given, ana, slug=room, id=bob.user_id)
    first, second = await window(), await window()
    await enter_by_token(first.page, dev_edge, room, ana, "owner")
    await enter_by_token(second.page, dev_edge, room, bob, "vip")
    owner, vip = first.page, second.page
    await owner.get_by_role("button", name="Room settings").click()
    for value, is_closed in (("everyone", True), ("nobody", False)):
        await owner.get_by_label("Who may write").select_option(value)
        await owner.get_by_label("Slow mode", exact=True).select_option("600")
        await owner.get_by_role("button", name="Apply").click()
        await expect(vip.get_by_label("Message", exact=True)).to_be_enabled(enabled=not is_closed)
    await asyncio.sleep(OBEYED_AFTER_S)
    for text in ("first", "second"):
        await second.say(text)
        await expect(owner.get_by_role("log")).to_contain_text(text)
    await owner.get_by_role("log").get_by_role("button", name=f"Moderate {bob.username}").first.click()
    dialog = owner.get_by_role("dialog", name=f"Moderate {bob.username}")
    await dialog.get_by_label("What to do").select_option("ban")
    await expect(dialog.get_by_label("In every room")).to_be_hidden()
    await dialog.get_by_role("button", name="Ban").click()
    await expect(vip.locator("#end")).to_contain_text("You were banned")


@pytest.mark.slow
async def test_roles_are_not_offered_where_the_server_gives_out_plain_users_only(
    window: OpenWindow, edge: Edge, room: str
) -> None:
    visitor = await window()
    page = await visitor.enter(edge, room, "Plain")
    await expect(page.locator("#whoami")).to_have_text("you are Plain")
    await expect(page.locator("#role")).to_be_hidden()


@pytest.mark.slow
async def test_without_development_tokens_one_comes_in_without_a_name_or_with_a_token(
    window: OpenWindow, salon: Salon, room: str
) -> None:
    production = salon.start_edge({"SALON_ENV": "production", "JWT_SECRET": salon_processes.CHOSEN_SECRET})
    nameless, signed = await window(), await window()
    await nameless.page.goto(production.http)
    await expect(nameless.page.get_by_text("This server gives out no names")).to_be_visible()
    page = await nameless.enter(production, room, None)
    await expect(page.locator("#whoami")).to_have_text("you are a guest")
    claims = {"user_id": 77, "username": "Tokena", "roles": ["moderator"], "exp": in_an_hour()}
    token = mint(claims, secret=salon_processes.CHOSEN_SECRET)
    theirs = signed.page
    await theirs.goto(f"{production.http}/?room={room}")
    await expect(theirs.locator("#way-name")).to_be_hidden()
    await theirs.get_by_role("radio", name="Token").check()
    box = theirs.locator("textarea#token")
    await box.fill("rubbish")
    await theirs.get_by_role("button", name="Enter the room").click()
    await expect(theirs.get_by_role("alert").filter(has_text="That is not a JSON Web Token.")).to_be_visible()
    await box.fill(token)
    await theirs.get_by_role("button", name="Enter the room").click()
    await signed.connected()
    await expect(theirs.locator("#whoami")).to_have_text("you are Tokena (moderator)")
    assert token not in theirs.url


@pytest.mark.slow
async def test_an_invalid_token_and_a_malformed_room_are_told_in_friendly_words(
    window: OpenWindow, edge: Edge, room: str
) -> None:
    page = (await window()).page
    await page.goto(f"{edge.http}/?room=.dots")
    await page.get_by_label("No name").check()
    await page.get_by_role("button", name="Enter the room").click()
    await expect(page.get_by_role("alert").filter(has_text="no dot at its start")).to_be_visible()
    await page.get_by_label("Room", exact=True).fill(room)
    await page.get_by_role("radio", name="Token").check()
    await page.locator("textarea#token").fill(mint({"user_id": 5, "exp": 1}))
    await page.get_by_role("button", name="Enter the room").click()
    await expect(page.get_by_role("heading", name="Your sign-in is not valid any more")).to_be_visible()
    await expect(page.locator("#state")).to_have_text("Disconnected")


@pytest.mark.slow
async def test_at_most_500_messages_stay_and_new_ones_are_counted_when_scrolled_up(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, room: str
) -> None:
    reader = await window()
    page = await reader.enter(dev_edge, room, "Reader")
    talkers = [await visitors.join(room, person(f"talker{n}")) for n in range(52)]
    for number in range(10):
        await asyncio.gather(*(t.say(f"{t.name} says {number}") for t in talkers))
    await expect(page.get_by_role("log")).to_contain_text("talker51 says 9")
    assert await page.locator("#log > *").count() == 500
    await page.locator("#scroller").evaluate("node => { node.scrollTop = 0 }")
    late: Person = person("late")
    client = await visitors.join(room, late)
    await client.say("one more")
    button = page.get_by_role("button", name=re.compile("1 new message"))
    await expect(button).to_be_visible()
    await button.click()
    await expect(page.get_by_text("one more", exact=True)).to_be_in_viewport()
    await expect(button).to_be_hidden()


async def test_it_reconnects_by_itself_and_sends_what_was_written_meanwhile(
    window: OpenWindow, frail: Salon, room: str
) -> None:
    edge = frail.edges[0]
    writer = await window()
    page = await writer.enter(edge, room, "Patient")
    edge.process.kill()
    await expect(page.locator("#state")).to_have_text("Reconnecting…")
    await writer.say("written while away")
    await expect(page.locator("#outbox")).to_contain_text("Waiting for the connection")
    edge.process.start()
    await asyncio.to_thread(salon_processes.wait_until_ready, edge)
    await writer.connected()
    await expect(page.get_by_role("log")).to_contain_text("written while away", timeout=10_000)
    await expect(page.locator("#outbox > *")).to_have_count(0)
    await page.close()


@pytest.mark.slow
async def test_what_was_said_while_it_was_cut_off_is_shown_when_it_is_back(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, room: str, ana: Person
) -> None:
    talker = await visitors.join(room, ana)
    reader = await window()
    page = await reader.enter(dev_edge, room, "Reader")
    log = page.get_by_role("log")
    await talker.say("said before")
    await expect(log).to_contain_text("said before")
    dev_edge.process.kill()
    await expect(page.locator("#state")).to_have_text("Reconnecting…")
    await talker.say("said meanwhile")
    await talker.say("and more")
    dev_edge.process.start()
    await asyncio.to_thread(salon_processes.wait_until_ready, dev_edge)
    await reader.connected()
    await talker.say("said after")
    await expect(log).to_contain_text("said after", timeout=10_000)
    text = await log.inner_text()
    places = [text.index(said) for said in ("said before", "said meanwhile", "and more", "said after")]
    assert places == sorted(places)
    assert "Connected again." in text
    assert "missed" not in text
    await page.close()


@pytest.mark.slow
async def test_what_is_taken_back_goes_from_the_page_and_leaves_its_place(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, room: str, ana: Person, moderator: Person
) -> None:
    talker, chair = await visitors.join(room, ana), await visitors.join(room, moderator)
    reader = await window()
    page = await reader.enter(dev_edge, room, "Reader")
    log = page.get_by_role("log")
    said = [await talker.say(text) for text in ("stays", "a slip", "more of it")]
    await expect(log).to_contain_text("more of it")
    await chair.send("moderation_action", action="delete", message_id=said[1]["id"])
    await expect(log).to_contain_text("This message was removed.")
    await expect(log).not_to_contain_text("a slip")
    await expect(log).to_contain_text("stays")
    await chair.send("moderation_action", action="purge", target_user_id=ana.user_id)
    await expect(log).not_to_contain_text("more of it")
    await expect(log.locator("article.gone")).to_have_count(3)
    await page.close()


KAPPA = "https://cdn.example/kappa.svg"
DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="4"/></svg>'
SAVE = """mutation($name: String!, $url: String!, $alt: String, $slug: String) {
  saveEmote(name: $name, url: $url, alt: $alt, slug: $slug) { name } }"""


async def with_images(page: Page) -> list[str]:
    """Answer for the host of the emotes; what the page asked it for."""
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        if route.request.url == KAPPA:
            await route.fulfill(body=DRAWN, content_type="image/svg+xml")
        else:
            await route.abort()

    await page.context.route("https://cdn.example/**", answer)
    return asked


@pytest.mark.slow
async def test_emotes_are_shown_in_their_place_with_their_text_and_one_that_does_not_load_is_text(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, graphql: GraphQL, room: str, ana: Person, admin: Person
) -> None:
    await graphql.run(SAVE, admin, name="Kappa", url=KAPPA, alt="A grey face", slug=room)
    await graphql.run(SAVE, admin, name="gone", url="https://cdn.example/gone.png", slug=room)
    reader = await window()
    asked = await with_images(reader.page)
    page = await reader.enter(dev_edge, room, "Reader")
    talker = await visitors.join(room, ana, ws=dev_edge.ws)
    await talker.say("😀 <b>hi</b> :Kappa: :gone: :nothing:")
    text = page.get_by_role("log").locator(".text")
    image = text.get_by_role("img", name="A grey face")
    await expect(image).to_be_visible()
    assert await image.evaluate("image => image.complete && image.naturalWidth > 0")
    assert (await image.get_attribute("src"), await image.get_attribute("title")) == (KAPPA, ":Kappa:")
    await expect(text).to_have_text("😀 <b>hi</b>  :gone: :nothing:")
    assert asked.count(KAPPA) >= 1
    await page.close()


async def test_reactions_are_added_up_in_the_bar_and_below_messages_in_every_window(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, graphql: GraphQL, room: str, ana: Person, admin: Person
) -> None:
    await graphql.run(SAVE, admin, name="Kappa", url=KAPPA, slug=room)
    windows = [await window(moves=True), await window(phone=True)]
    for one in windows:
        await with_images(one.page)
    first, second = [await one.enter(dev_edge, room, name) for one, name in zip(windows, ("Ben", "Cy"), strict=True)]
    talker = await visitors.join(room, ana, ws=dev_edge.ws)
    said = await talker.say("look at this")
    for page in (first, second):
        await page.get_by_role("group", name="React to what happens").get_by_role("button", name="React with ❤️").click()
        await page.get_by_role("button", name=f"React to {ana.username}").click()
        tray = page.get_by_role("group", name=f"React to {ana.username}")
        await tray.get_by_role("button", name="React with :Kappa:").click()
        await expect(tray).to_have_count(0)
    await expect(first.locator("#burst .spark").first).to_be_attached()
    await second.get_by_role("button", name=re.compile("^:Kappa: [12], react with it too$")).click()
    await talker.send("reaction", emoji="😂", message_id=said["id"])
    for page in (first, second):
        await expect(page.locator("#reactions [data-emoji='❤️'] b")).to_have_text("2")
        message = page.locator(f"article[data-id='{said['id']}']")
        await expect(message.get_by_role("button", name=":Kappa: 3, react with it too")).to_be_visible()
        await expect(message.get_by_role("button", name="😂 1, react with it too")).to_be_visible()
    await expect(second.locator("#burst .spark")).to_have_count(0)  # who wants no motion sees none
    await expect(first.locator("#burst .spark")).to_have_count(0)
    assert await second.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for page in (first, second):
        await page.close()


@pytest.mark.slow
async def test_who_is_blocked_is_not_shown_also_after_coming_in_again_until_they_are_unblocked(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    reader = await window()
    page = await reader.enter(dev_edge, room, "Reader")
    loud, kind = await visitors.join(room, ana, ws=dev_edge.ws), await visitors.join(room, bob, ws=dev_edge.ws)
    log = page.get_by_role("log")
    await loud.say("noise")
    await page.get_by_role("button", name=f"React to {ana.username}").click()
    await page.get_by_role("button", name=f"Block {ana.username}").click()
    await expect(log.get_by_text("noise", exact=True)).to_be_hidden()
    await loud.send("typing_start")
    await loud.say("more noise")
    await kind.say("peace")
    await expect(log.get_by_text("peace", exact=True)).to_be_visible()
    await expect(log.get_by_text("more noise")).to_be_hidden()
    await page.get_by_role("button", name="Leave").first.click()
    await page.get_by_role("button", name="Enter the room").click()
    await expect(log.locator("article")).to_have_count(0)
    await expect(log).to_contain_text("You came into")
    await loud.say("noise again")
    await kind.say("peace again")
    await expect(log.get_by_text("peace again", exact=True)).to_be_visible()
    await expect(log.get_by_text("noise again")).to_be_hidden()
    await page.close()


@pytest.mark.slow
async def test_unblocking_shows_again_what_was_said(
    window: OpenWindow, dev_edge: Edge, visitors: Visitors, room: str, ana: Person
) -> None:
    reader = await window()
    page = await reader.enter(dev_edge, room, "Reader")
    talker = await visitors.join(room, ana, ws=dev_edge.ws)
    await talker.say("first")
    await page.get_by_role("button", name=f"React to {ana.username}").click()
    await page.get_by_role("button", name=f"Block {ana.username}").click()
    log = page.get_by_role("log")
    await expect(log).to_contain_text(f"You blocked {ana.username}")
    await talker.say("second")
    await page.get_by_role("button", name="Unblock").click()
    await expect(log).to_contain_text(f"You see {ana.username} again.")
    for text in ("first", "second"):
        await expect(log.get_by_text(text, exact=True)).to_be_visible()
    await page.close()


async def test_every_control_has_a_name_and_the_log_is_a_polite_live_region(
    window: OpenWindow, dev_edge: Edge, room: str
) -> None:
    page = await (await window()).enter(dev_edge, room, "Reader")
    log = page.get_by_role("log", name="Messages")
    await expect(log).to_have_attribute("aria-live", "polite")
    nameless = await page.evaluate(
        """[...document.querySelectorAll("button, input, select, textarea")].filter((e) =>
             !(e.labels && e.labels.length) && !e.getAttribute("aria-label") && !e.textContent.trim()
           ).map((e) => e.id)"""
    )
    assert nameless == ["moderate-do"]  # hidden until it is said what it does
    await page.keyboard.press("Shift+Tab")
    assert await page.evaluate("document.activeElement.closest('#reactions') !== null")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
