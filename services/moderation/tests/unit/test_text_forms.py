"""domain/text_forms.py: what is made of a text is made once, and for as long as there is time."""

from moderation.domain.folding import Script
from moderation.domain.text_forms import TextForms


def test_each_form_is_made_when_it_is_first_asked_for_and_once() -> None:
    forms = TextForms("É! Привет evil.com, evil.com")
    for name in ("search", "for_expressions", "hosts", "scripts", "accented"):
        assert getattr(forms, name) is getattr(forms, name)
    assert forms.hosts == ["evil.com"]
    assert forms.for_expressions[0] == "e! привет evil.com, evil.com".encode()
    assert {Script.LATIN, Script.CYRILLIC} <= forms.scripts
    assert forms.accented == {"É"}
    assert [*map(id, forms.readings())] == [*map(id, forms.readings())]


def test_readings_are_made_for_as_long_as_there_is_time() -> None:
    left = 3

    def is_over() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    forms = TextForms("$h!t, says he", is_over)
    assert (len([*forms.readings()]), forms.is_cut) == (3, True)
    assert (forms.has_time(), [*forms.readings()]) == (False, [])
    assert len([*TextForms("$h!t, says he").readings()]) > 3
