"""A job's drawing: to scale, inside its frame, and with an equal table."""

import re
from datetime import timedelta

import pytest

from console.templating import templates
from console.timeline import Picture, draw
from jobs.details import Happened
from jobs.diagnosis.timeline import Timeline, TimelineSpan, timeline
from tests.jobs.diagnosis.known import NOW, ago, job


def pictured(*spans: TimelineSpan, goes_on: bool = False) -> Picture:
    return draw(Timeline(spans, spans[0].start, max(span.end or NOW for span in spans), goes_on))


def svg(picture: Picture) -> str:
    return templates.get_template("timeline.html").render({"picture": picture})


def test_bars_are_to_scale_one_behind_the_other() -> None:
    picture = pictured(
        TimelineSpan("Queue", 1, ago(100), ago(90)),
        TimelineSpan("Worker", 1, ago(90), ago(10)),
        TimelineSpan("Context and GPT-4", 1, ago(90), ago(50), level=1),
        TimelineSpan("ServiceDesk Update", 1, ago(50), ago(10), level=1),
    )
    queue, worker, model, note = picture.bars
    assert [bar.css for bar in picture.bars] == ["t-wait", "t-work", "t-model", "t-note"]
    assert worker.width == pytest.approx(queue.width * 8, rel=0.01)
    assert model.width == pytest.approx(note.width, rel=0.01)
    assert worker.x == pytest.approx(queue.x + queue.width, abs=0.2)
    assert note.x + note.width == pytest.approx(100)
    assert [bar.lasted for bar in picture.bars] == ["10.0s", "1m20s", "40.0s", "40.0s"]
    assert picture.title == "Timeline of the job, 1m30s in total"
    assert picture.ticks == [(0, "0s"), (33.33, "30s"), (66.67, "1m00s"), (100, "1m30s")]
    places = re.findall(r'<text class="t-text" x="(0|14)" y="(\d+)', svg(picture))
    assert places == [("0", "35"), ("0", "71"), ("14", "107"), ("14", "143")]
    # Of a long job the beginning and the end are drawn.
    picture = pictured(*[TimelineSpan("Worker", each, ago(100 - each), ago(99 - each)) for each in range(60)])
    assert (len(picture.bars), picture.left_out) == (40, 20)
    assert [picture.bars[0].span.attempt, picture.bars[-1].span.attempt] == [0, 59]


@pytest.mark.parametrize("seconds", [0, 0.2, 1, 45, 3600, 86_400, 40 * 86_400])
def test_all_is_inside_the_frame_however_long_it_took(seconds: float) -> None:
    spans = [TimelineSpan("Webhook", 0, ago(seconds), ago(seconds)), TimelineSpan("Queue", 1, ago(seconds), NOW)]
    spans += [TimelineSpan("Worker", 1, NOW, NOW), TimelineSpan("ServiceDesk Update", 1, ago(seconds), level=1)]
    drawn = svg(pictured(*spans))
    (most_y,) = map(float, re.findall(r'<svg class="timeline" height="(\d+)"', drawn))
    bars = re.findall(r'<rect [^>]*x="([^"]+)%" y="([^"]+)" width="([^"]+)%" height="([^"]+)"', drawn)
    assert len(bars) == 4
    for x, y, width, height in (map(float, bar) for bar in bars):
        assert (x >= 0, width > 0, x + width <= 100.01, y + height <= most_y) == (True,) * 4
    ticks = re.findall(r'<text class="t-text" x="([\d.]+)%" y="13" text-anchor="(\w+)">[^<]+<', drawn)
    assert 1 <= len(ticks) <= 6
    for x, anchor in ticks:
        # Half of a label is at most 7 % of a phone's screen.
        assert {"start": float(x) < 90, "middle": 5 <= float(x) <= 93, "end": float(x) > 10}[anchor]


def test_what_failed_was_held_or_goes_on_looks_so_and_says_so() -> None:
    ended = [TimelineSpan("Worker", 1, ago(9), ago(6), "failed", "GPT-4 timeout")]
    ended += [TimelineSpan("Worker", 2, ago(6), ago(3), "held", "held back: desk busy")]
    picture = pictured(*ended, TimelineSpan("Worker", 2, ago(3)), goes_on=True)
    assert [bar.css for bar in picture.bars] == ["t-failed", "t-held", "t-work"]
    assert [bar.ended.text for bar in picture.bars] == ["failed", "paused", "in progress"]
    assert picture.title == "Timeline of the job, 9.0s so far"
    drawn = svg(picture)
    assert "<title>Worker, attempt 1, 3.0s: GPT-4 timeout</title>" in drawn
    assert "Worker, attempt 2 3.0s so far. The table below has the same data." in drawn


def test_a_job_that_was_held_back_for_hours_says_so() -> None:
    events = [Happened(ago(7200), 0, "accepted", None), Happened(ago(7199), 1, "claimed", None)]
    events += [Happened(ago(7198), 0, "held back", "model key refused"), Happened(ago(9), 1, "claimed", None)]
    events += [Happened(ago(8), 1, "retried", "GPT-4 timeout")]
    row = job("waiting", "GPT-4 timeout", accepted_at=ago(7200), due_at=NOW + timedelta(seconds=1))
    picture = draw(timeline(row, events, NOW))
    held, pause = (bar for bar in picture.bars if bar.name.startswith("Pause"))
    assert (held.name, held.css, held.ended.text) == ("Pause and Queue", "t-held", "paused")
    assert "<title>Pause and Queue, 1h59m: held back: model key refused</title>" in svg(picture)
    assert (pause.name, pause.css) == ("Pause, attempt 2", "t-wait")
