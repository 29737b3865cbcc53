"""Jobs as the page runs them, without the page: results, sentences, stopping, and what is given away."""

import io
import re
import threading
import time
import zipfile
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image, ImageCms

import tiny
import unlearnable
from unlearnable.errors import UsageError
from unlearnable.web import judged, results, running, shown, trying
from unlearnable.web.files import Room
from unlearnable.web.work import TURN, follow


@pytest.fixture
def session():
    room = Room()
    yield room.session("cookie")
    room.close()


def pixels(number, side=48):
    x = tiny.pictures(number + 1, seed=3, side=side)[number]
    return (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def three(session):
    """A JPEG with a profile, a PNG with alpha, and a file that is none."""
    folder = session.slot(running.ORIGINALS)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels(0)).save(folder / "photo (1).jpg", icc_profile=profile, quality=95)
    alpha = np.dstack([pixels(1), np.full((48, 48), 255, np.uint8)])
    alpha[:9, :, 3] = 0
    Image.fromarray(alpha).save(folder / "art.png")
    (folder / "broken.png").write_bytes((folder / "art.png").read_bytes()[:100])
    return profile, alpha


def run(session, work):
    *_, last = follow(lambda tell: work(tell), session.begin(), pause=0.02)
    return last


def protect(session, settings):
    job = run(session, lambda tell: running.protect(session, settings, tell))
    session.notes[running.PROTECTED] = list(job.results)
    return job


def test_protect_one_hostile_among_three(session):
    profile, alpha = three(session)
    job = protect(session, running.recipe("standard", "random"))
    assert job.state == "done" and [r.status for r in job.results] == ["protected", "failed", "protected"]
    found = results.gathered(session)
    assert found.names == ["art.png", "photo (1).png"] and "1 picture could not be used" in found.html
    assert "broken.png is a damaged" in found.html and str(session.inside) not in found.html
    with zipfile.ZipFile(found.archive) as archive:
        assert archive.namelist() == found.names and archive.testzip() is None
        art, photo = (Image.open(io.BytesIO(archive.read(name))) for name in found.names)
    assert photo.info["icc_profile"] == profile and photo.size == (48, 48)
    assert art.mode == "RGBA" and np.array_equal(np.asarray(art)[..., 3], alpha[..., 3])
    text = results.compared(session, "art.png")
    pair = [re.search(rf'class="{side}" src="/gradio_api/file=([^?]+)', text)[1] for side in ("before", "after")]
    before, after = (np.asarray(Image.open(unquote(path))) for path in pair)
    assert np.array_equal(before, alpha) and np.array_equal(after, np.asarray(art)) and "PSNR" in text
    assert results.compared(session, "../art.png") == ""
    assert results.progress(session, job).count("<img") == 2


def test_stop_keeps_what_is_done_and_the_next_run_goes_on(session, tmp_path):
    folder = session.slot(running.ORIGINALS)
    for i in range(6):
        Image.fromarray(pixels(i)).save(folder / f"{i}.png")
    settings = running.recipe("standard", "random")
    for seen in follow(lambda tell: running.protect(session, settings, slowed(tell)), session.begin(), pause=0.005):
        if seen.results:
            session.stop.set()
    assert seen.state == "stopped" and 0 < len(seen.results) < 6 and "kept" in seen.html()
    kept = {path.name: path.stat().st_mtime_ns for path in session.out(running.PROTECTED).glob("*.png")}
    assert len(kept) >= len(seen.results)
    job = protect(session, settings)
    assert [r.status for r in job.results].count("skipped") == len(kept) and len(job.results) == 6
    list(unlearnable.protect(folder, tmp_path / "straight", settings))
    for path in session.out(running.PROTECTED).glob("*.png"):
        assert path.read_bytes() == (tmp_path / "straight" / path.name).read_bytes()
        assert kept.get(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns


def slowed(tell):
    def told(*values):
        time.sleep(0.03)
        tell(*values)

    return told


def test_a_reader_who_leaves_stops_the_job(session):
    def work(tell):
        for i in range(10_000):
            tell(i, 10_000)
            time.sleep(0.001)
            yield i

    stop, seen = session.begin(), []
    job = follow(work, stop, pause=0.01)
    seen.append(next(job))
    job.close()
    assert stop.wait(1)
    assert TURN.acquire(timeout=5), "the job goes on"
    TURN.release()


def test_one_job_at_a_time():
    inside, most = [0], [0]

    def work(tell):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.03)
        inside[0] -= 1
        yield 1

    ends = []

    def one():
        *_, last = follow(work, threading.Event(), pause=0.01)
        ends.append(last.state)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [1] and ends == ["done"] * 4


def test_errors_are_one_sentence(session, caplog):
    assert run(session, lambda tell: running.protect(session, running.recipe("standard", "random"), tell)).line() == (
        running.NOTHING
    )

    def broken(tell):
        raise KeyError("<b>secret</b>")
        yield

    job = run(session, broken)
    assert job.state == "failed" and "KeyError" in job.line() and "secret" not in job.html()
    with pytest.raises(UsageError, match="did you mean 'random'"):
        running.recipe("standard", "randm").protection()
    with pytest.raises(UsageError, match="There are no originals"):
        running.both(session)


def test_a_trial_shows_three_strengths_and_a_time(session):
    three(session)
    *_, last = results.trial(session, lambda: running.recipe("standard", "random"))
    assert last.count("<figure>") == 4 and "3 pictures will take about 5 seconds" in last


def test_the_time_of_a_run_is_that_of_its_pieces(session, monkeypatch):
    """A clock of our own: each look at it is a second later; the piece's work decides."""
    three(session)
    sources, folder = session.pictures(running.ORIGINALS), session.out(running.TRIED)
    cut = shown.piece(shown.first_readable(sources), folder)
    ticks = iter(range(1000))
    monkeypatch.setattr(trying.time, "monotonic", lambda: float(next(ticks)))
    one = trying.foretold(cut, folder, running.recipe("standard", "random"), [cut], lambda *a: None)
    ticks = iter(range(1000))
    four = trying.foretold(cut, folder, running.recipe("standard", "random"), [cut] * 4, lambda *a: None)
    assert four == pytest.approx(4 * one)


def test_check_and_purify_run_on_what_was_protected(session):
    three(session)
    protect(session, running.recipe("strong", "random"))
    job = run(session, lambda tell: running.check(session, "sd1", tell))
    text = judged.encoders(job.results[0], session)
    assert job.state == "done" and "No more than random noise does" in text and str(session.inside) not in text
    job = run(session, lambda tell: running.purify(session, "jpeg:50", 0, False, tell))
    assert [r.status for r in job.results] == ["purified", "purified"]
    job = run(session, lambda tell: running.purify(session, "jpge", 0, False, tell))
    assert job.state == "failed" and "jpeg" in job.line()


def test_a_method_that_asks_the_model_gets_it_whole_whatever_the_default_is():
    asks, does_not = (running.model_of(running.recipe("standard", method)) for method in ("advdm", "random"))
    assert hasattr(asks, "encode") and not hasattr(does_not, "encode")
