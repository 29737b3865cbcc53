"""Plain words follow the figures, and HTML says what it was given."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnable.web import html, words

AMOUNTS = st.floats(0, 80)


class Text(HTMLParser):
    """The text of a page, and the names of its elements, as the standard library reads them."""

    def __init__(self, source):
        super().__init__()
        self.texts, self.tags = [], []
        self.feed(source)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


@given(AMOUNTS, AMOUNTS)
def test_more_noise_is_never_said_to_be_seen_less(first, second):
    low, high = sorted((first, second))
    order = [text for _, text in words.SEEN]
    assert order.index(words.seen({"psnr": high})) <= order.index(words.seen({"psnr": low}))
    stains = [text for _, text in words.STAINS]
    assert stains.index(words.stains(low)) <= stains.index(words.stains(high))


def test_the_strengths_budgets_are_said_as_the_strengths_are():
    """README: subtle, standard and strong are 40, 36 and 30 dB."""
    said = [words.seen({"psnr": psnr}) for psnr in (40, 36, 30)]
    assert said[0].startswith("Hardly") and said[1].startswith("A little") and said[2].startswith("Yes")
    assert words.seen({"psnr": float("inf"), "local": 0}) == "No: nothing was changed."
    assert words.seen({}) == "Not measured." and words.figures({}) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "5 seconds"), (12, "15 seconds"), (55, "1 minute"), (600, "10 minutes"), (9000, "2.5 hours")],
)
def test_times_are_said_as_one_would(seconds, text):
    assert words.lasts(seconds) == text


@given(st.floats(0, 10), st.floats(0, 10))
def test_no_more_than_noise_is_said_plainly(first, second):
    low, high = sorted((first, second))
    order = [words.moved(1), words.moved(1.8), words.moved(3)]
    assert order.index(words.moved(low)) <= order.index(words.moved(high))
    assert "expect no protection" in words.moved(1.0) and "no proof" in words.moved(2.0)


@given(st.lists(st.lists(st.text(min_size=1), min_size=2, max_size=2), max_size=3), st.text(min_size=1))
def test_names_of_strangers_are_text_and_nothing_else(rows, title):
    plain = Text(html.table(["Picture", "Verdict"], rows, title) + html.listed([row[0] for row in rows], title))
    assert set(plain.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "strong", "ul", "li"}
    assert plain.tags.count("td") == len(rows) and plain.tags.count("li") == len(rows)


def test_a_hostile_name_is_shown_as_it_is(tmp_path):
    name = '"><img src=x onerror=alert(1)>.png'
    path = tmp_path / name
    path.write_bytes(b"")
    shown = Text(html.table(["Picture"], [[name]], "One", {name: path}))
    assert name in shown.texts and "img" not in shown.tags and "a" in shown.tags
    assert Text(html.gallery([(path, name, name)])).tags == ["div", "figure", "img", "figcaption"]
