"""Charts as SVG, and the numbers beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from pages import charts, numbers
from pages.rates import complete, eta_s, now_of, rates_of
from pages.records import Amount, Rates
from transfer.accounting.rate_history import RateHistory

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (0.3, 0.4), (1, 1), (1.01, 2), (7, 10), (120, 200), (99.9, 100), (float("nan"), 1)]
)
def test_an_axis_ends_at_a_round_number(most: float, top: float) -> None:
    assert charts.nice_top(most) == pytest.approx(top)


def test_an_area_has_a_step_and_a_tooltip_for_each_interval() -> None:
    points = [charts.Point(0, "none"), charts.Point(5, "<half>", is_marked=True), charts.Point(99, "too much")]
    tree = parsed(charts.area(points, top=10, title='a "title"'))
    assert [title.text for title in tree.iter(f"{SVG}title")] == ["none", "<half>", "too much"]
    line = next(path for path in tree.iter(f"{SVG}path") if path.get("class") == "line")
    assert line.get("d") == "M0.0 120.0 L333.3 120.0 L333.3 60.0 L666.7 60.0 L666.7 0.0 L1000.0 0.0"
    [marks] = [group for group in tree.iter(f"{SVG}g") if group.get("class") == "slow"]
    assert [mark.get("x") for mark in marks] == ["333.3"]
    assert tree.get("aria-label") == 'a "title"'


def test_an_empty_chart_is_a_chart() -> None:
    assert parsed(charts.area([], top=1, title="none")) is not None
    assert parsed(charts.bars([], title="none")) is not None


@pytest.mark.parametrize(
    ("share", "percent"), [(0.5, "50.00%"), (-1, "0.00%"), (7, "100.00%"), (float("nan"), "0.00%")]
)
def test_a_bar_is_filled_to_its_share(share: float, percent: str) -> None:
    assert parsed(charts.share_bar(share))[0].get("width") == percent


def test_a_progress_bar_has_its_value_for_screen_readers() -> None:
    tree = parsed(charts.share_bar(0.256, label="Copied"))
    assert (tree.get("role"), tree.get("aria-valuenow"), tree.get("aria-label")) == ("progressbar", "26", "Copied")


def test_few_bars_stand_at_the_right() -> None:
    tree = parsed(
        charts.bars([charts.Bar("a", 2, "2", at_s=60), charts.Bar("b", float("inf"), "?")], title="", slots=30)
    )
    bars = [mark for mark in tree.iter(f"{SVG}rect") if mark.get("class") == "bar"]
    assert (tree.get("viewBox"), [bar.get("x") for bar in bars]) == ("0 0 300 48", ["281", "291"])
    assert [bar.get("height") for bar in bars] == ["48.0", "1.0"]
    assert [group.get("data-at") for group in tree.iter(f"{SVG}g")] == ["60", None]


def test_bars_have_their_labels() -> None:
    tree = parsed(charts.bars([charts.Bar("a < b", 1, "1"), charts.Bar("c", 4, "4", "bad")], title="runs"))
    assert [title.text for title in tree.iter(f"{SVG}title")] == ["a < b: 1", "c: 4"]


def test_a_rise_at_the_beginning_is_no_slow_down() -> None:
    document = {"interval_s": 2, "began_at_s": 100, "bytes": [1] * 6, "objects": [1] * 6, "lanes": [2, 4, 8, 4, 8, 0]}
    rates = rates_of([RateHistory.of(document)])
    assert rates is not None
    assert rates.slowed == (False, False, False, True, False, False)


@pytest.mark.parametrize(
    ("done", "rates", "seconds"),
    [
        (Amount(objects=10, size_bytes=100), (1.0, 1.0), 0.0),
        (Amount(objects=5, size_bytes=50), (10.0, 1.0), 5.0),
        (Amount(objects=5, size_bytes=50), (1.0, 10.0), 50.0),
        (Amount(objects=5, size_bytes=50), (0.0, 0.0), None),
        (Amount(objects=5, size_bytes=100), (0.0, 1.0), 5.0),
    ],
)
def test_the_rest_takes_as_long_as_its_bytes_or_its_objects(
    done: Amount, rates: tuple[float, float], seconds: float | None
) -> None:
    assert eta_s(done, Amount(objects=10, size_bytes=100), *rates) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (4.25, "4.2 s"),
        (59.7, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3661, "1 h 01 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_times_are_in_utc_until_the_script_writes_them() -> None:
    at = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
    assert numbers.moment(at) == '<time datetime="2026-11-29T10:00:00+00:00">2026-11-29 10:00:00 UTC</time>'


@pytest.mark.parametrize(("amount", "text"), [(0, "$0.00"), (0.001, "< $0.01"), (1234.5, "$1,234.50")])
def test_amounts_of_money(amount: float, text: str) -> None:
    assert numbers.usd(amount) == text


def test_intervals_that_not_every_worker_has_reported_are_not_shown() -> None:
    rates = Rates(began_at_s=100, interval_s=2, bytes=(4, 4, 4, 2, 1), objects=(1,) * 5, slowed=(False,) * 5)
    assert complete(rates, [110, 108]).bytes == (4, 4, 4)
    assert complete(rates, [110]).bytes == (4, 4, 4, 2)
    assert complete(rates, []).bytes == (4, 4, 4, 2, 1)
    assert complete(rates, [100]).bytes == ()


def test_a_stuck_worker_hides_one_minute_at_most() -> None:
    rates = Rates(began_at_s=0, interval_s=2, bytes=(4,) * 100, objects=(1,) * 100, slowed=(False,) * 100)
    assert len(complete(rates, [10, 200]).bytes) == 69


def test_the_rate_now_is_that_of_the_last_known_seconds() -> None:
    rates = Rates(began_at_s=0, interval_s=2, bytes=(0,) * 90 + (40,) * 10, objects=(2,) * 100, slowed=(False,) * 100)
    assert now_of(rates, 205) == (20, 1)
    assert now_of(rates, 205, unfinished=10) == (0, 1)
    assert now_of(rates, 300) == (0, 0)
