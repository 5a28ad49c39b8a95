"""The report: what it gathers is what the files hold, and its page does what it should in a real browser."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from browser import chromium as chromium
from browser import needs_chromium, opened, serious

from recredit.audit import audit
from recredit.report.audited import asked_of
from recredit.report.charted import charted
from recredit.report.gathered import Curve, Gathered, Panel, gather
from recredit.report.page import report
from recredit.report.templates import audit_page
from recredit.rules import RULES
from recredit.runs.settings import Run

EXAMPLES = Path(__file__).parent.parent / "examples"
REPRODUCE = Path(__file__).parent.parent / "reproduce"
HOSTILE = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=2>\"'&{{7*7}}"


@pytest.fixture(scope="module")
def audits():
    return [audit(RULES[name](), name=label, measure=False) for label, name in {"RFLO": "rflo", "RTRL": "rtrl"}.items()]


@pytest.fixture(scope="module")
def fig1():
    return gather(REPRODUCE / "fig1-written")


@pytest.fixture(scope="module")
def file(fig1, audits, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(fig1, audits, ["one is left out"], (32, 2, 2)), "utf-8")
    return path


def test_of_fig1_losses_seeds_and_levels_are_those_of_the_figure(fig1):
    judged = json.loads((REPRODUCE / "fig1-written" / "claims.json").read_text())
    data = xr.load_dataset(REPRODUCE / "fig1-written" / "curves.nc")
    assert [panel.title for panel in fig1.panels] == ["Add, lags 3 and 5", "Mimic"]
    for panel, task in zip(fig1.panels, ("Add", "Mimic"), strict=True):
        for curve in panel.curves:
            assert np.nanmean(curve.final) == pytest.approx(judged["final_loss"][task][curve.name]["mean"], rel=1e-12)
            np.testing.assert_array_equal(curve.loss, data.loss.sel(task=task, rule=curve.name))
    assert fig1.claims == judged
    assert fig1.panels[0].levels["both lags"] == pytest.approx(0.4545, abs=1e-4)


def test_of_a_sweep_every_point_is_in_the_panel_of_its_task_and_optimiser():
    data = xr.load_dataset(REPRODUCE / "rules" / "rules" / "sweep.nc")
    found = gather(REPRODUCE / "rules" / "rules")
    assert sum(len(panel.curves) for panel in found.panels) == data.sizes["point"]
    for panel in found.panels:
        task, optimizer = panel.title.split(" optimizer=")
        for curve in panel.curves:
            point = data.isel(
                point=np.flatnonzero((data.rule == curve.name) & (data.task == task) & (data.optimizer == optimizer))
            )
            np.testing.assert_array_equal(curve.final, point.final_loss.values[0])


def test_of_an_alignment_the_heat_map_has_its_means():
    place = REPRODUCE / "alignment" / "add-0.5"
    data, found = xr.load_dataset(place / "run.nc"), json.loads(charted(gather(place), [], None))
    rows = next(each["rows"] for each in found["heat"] if (each["measure"], each["part"]) == ("mean_cosine", "W_rec"))
    for row in rows:
        mean = float(data.mean_cosine.sel(estimate="mean", gradient=row["row"], beside=row["column"], part="W_rec"))
        assert row["value"] == pytest.approx(mean, rel=1e-4)


def gathered(**changes):
    """Two rules made by hand, one of whose seeds has diverged."""
    loss = np.array([[3.0, 2.0], [5.0, 4.0], [1e9, np.nan]])
    run = {"rule": {"name": "rflo"}, "task": {"name": "add"}, "network": {"n": 4}, "steps": 20, "bin": 10}
    curve = Curve("one", run, [0, 1, 2], np.array([10, 20]), loss, np.array([2.0, 4.0, np.nan]), np.array([False, False, True]))
    panel = Panel("task", "nats", {"nothing": 2.5, "as good as nothing": 2.5}, [curve, replace(curve, name="two")])
    return replace(Gathered("title", "somewhere", [panel], {"recredit": "0"}), **changes)


def test_means_errors_and_ends_are_over_the_seeds_that_did_not_diverge():
    found = json.loads(charted(gathered(), [], None))
    curve = found["panels"][0]["curves"][0]
    assert curve["mean"] == [4.0, 3.0]
    assert curve["error"] == [1.0, 1.0]  # of two numbers that are 2 apart: sd sqrt(2), over sqrt(2)
    assert curve["count"] == [2, 2]
    assert curve["end"] == [3.0, 1.0]
    assert curve["values"][2] == [1e9, None]
    assert found["panels"][0]["levels"] == [{"what": "nothing, as good as nothing", "value": 2.5}]


def test_a_cost_is_the_value_of_its_formula(fig1, audits):
    costs = json.loads(charted(fig1, audits, (32, 2, 2)))["costs"]
    rflo = {row["n"]: row["value"] for row in costs[0]["rows"] if row["name"] == "RFLO"}
    assert rflo[32] == 32 * 35  # n m


def test_lines_differ_in_colour_and_in_dashes(fig1):
    looks = json.loads(charted(fig1, [], None))["styles"]
    assert len({(look["light"], *look["dash"]) for look in looks.values()}) == len(looks)
    neighbours = list(looks.values())
    assert all(a["light"] != b["light"] and a["dash"] != b["dash"] for a, b in itertools.pairwise(neighbours))


def test_it_is_one_file_of_less_than_3_mb(file):
    assert file.stat().st_size < 3e6
    large = report(gather(REPRODUCE / "rules" / "rules"))
    assert len(large.encode()) < 3e6
    assert "There are too many seeds to draw each one here" in large


LINES = "[data-chart=curves][data-number='0'] .mark-line path[d]:not([d=''])"


@needs_chromium
def test_offline_it_opens_draws_and_says_nothing_and_a_toggle_hides_a_curve(chromium, file):
    with opened(chromium, file.as_uri()) as page:
        assert page.locator("h1").inner_text() == "Fig. 1, written variant"
        assert page.locator(LINES).count() == 6
        page.get_by_label("RFLO", exact=True).uncheck()
        page.wait_for_function(f'document.querySelectorAll("{LINES}").length === 5')
        page.get_by_role("button", name="None").click()
        page.wait_for_function(f'document.querySelectorAll("{LINES}").length === 0')
        page.get_by_role("button", name="All").click()
        page.wait_for_function(f'document.querySelectorAll("{LINES}").length === 6')
        page.get_by_label("each seed").check()
        page.wait_for_function(f'document.querySelectorAll("{LINES}").length === 120')


@needs_chromium
def test_logarithmic_axes_have_other_ticks(chromium, file):
    ticks = "[data-chart=curves][data-number='1'] .role-axis-label text"
    with opened(chromium, file.as_uri()) as page:
        before = page.locator(ticks).all_text_contents()
        page.get_by_label("loss", exact=True).check()
        page.get_by_label("steps", exact=True).check()
        page.wait_for_function(f'[...document.querySelectorAll("{ticks}")].map((each) => each.textContent).includes("10k")')
        assert page.locator(ticks).all_text_contents() != before


@needs_chromium
def test_pointing_at_a_curve_tells_its_numbers(chromium, file):
    with opened(chromium, file.as_uri()) as page:
        page.locator("[data-chart=curves][data-number='0']").hover(position={"x": 300, "y": 150})
        told = page.locator("#vg-tooltip-element.visible")
        told.wait_for()
        assert all(word in told.inner_text() for word in ("rule", "network steps", "mean", "± s.e.m.", "seeds"))


@needs_chromium
def test_a_verdict_opens_its_evidence_with_the_source_by_mouse_and_by_keyboard(chromium, file, audits):
    evidence = audits[1].cells["iv"].evidence[0]
    line = Path(evidence.file).read_text("utf-8").splitlines()[evidence.line - 1].strip()
    with opened(chromium, file.as_uri()) as page:
        cell = page.get_by_role("link", name="RTRL, iv: fails")
        dialog = page.locator("dialog")
        cell.click()
        assert evidence.operation in dialog.inner_text()
        assert line in dialog.locator("mark").first.inner_text()
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        cell.focus()
        page.keyboard.press("Enter")
        assert dialog.is_visible()
        page.get_by_role("button", name="Close").click()
        assert not dialog.is_visible()


@needs_chromium
def test_hostile_text_in_results_stays_text(chromium, audits, tmp_path):
    given = gathered(title=HOSTILE, source=HOSTILE, versions={HOSTILE: HOSTILE}, remarks=[HOSTILE])
    panel = given.panels[0]
    curves = [replace(curve, name=f"{HOSTILE}{k}") for k, curve in enumerate(panel.curves)]
    panels = [replace(panel, title=HOSTILE, unit=HOSTILE, levels={HOSTILE: 1.0}, curves=curves)]
    named = [replace(audits[0], rule=HOSTILE, notes=(HOSTILE,))]
    path = tmp_path / "report.html"
    path.write_text(report(replace(given, panels=panels), named, [HOSTILE], (4, 2, 2)), "utf-8")
    with opened(chromium, path.as_uri()) as page:
        assert page.evaluate("window.hurt") is None
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.locator("img").count() == 0
        page.get_by_role("link", name=f"{HOSTILE}, iv: passes").click()
        assert page.locator("#controls input[name=rule]").count() == 2
        assert page.evaluate("window.hurt") is None


@needs_chromium
@pytest.mark.parametrize("width", [360, 768, 3840])
def test_no_width_makes_the_page_scroll_sideways(chromium, file, width):
    with opened(chromium, file.as_uri(), width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        charts = page.locator("[data-chart=curves] svg").all()
        assert all(0.7 * min(width, 480) < chart.bounding_box()["width"] <= width for chart in charts)


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(chromium, file, audits, tmp_path, scheme):
    with opened(chromium, file.as_uri(), scheme=scheme) as page:
        assert serious(page) == []
        page.get_by_role("link", name="RTRL, iv: fails").click()
        assert serious(page) == []
    path = tmp_path / "audit.html"
    path.write_text(audit_page(audits), "utf-8")
    with opened(chromium, path.as_uri(), scheme=scheme, drawn=False) as page:
        assert serious(page) == []


@needs_chromium
def test_the_theme_follows_the_system_and_the_button_and_prints_light(chromium, file):
    back = "getComputedStyle(document.body).backgroundColor"
    with opened(chromium, file.as_uri(), scheme="dark") as page:
        dark = page.evaluate(back)
        page.get_by_role("button", name="Light / dark").click()
        assert page.evaluate(back) == "rgb(255, 255, 255)" != dark
        page.get_by_role("button", name="Light / dark").click()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.evaluate(back) == "rgb(255, 255, 255)"
        assert not page.locator("nav").is_visible()
        assert page.locator("#controls label", has_text="RFLO").is_visible()  # with its line: the legend
        assert not page.locator("#controls input, #controls button").first.is_visible()
        assert len(page.pdf()) > 10_000


def test_a_fast_path_is_audited_as_the_rule_that_it_is_and_a_changed_source_is_told(fig1, tmp_path):
    asked, refused = asked_of(fig1)
    assert {each.label: each.spec for each in asked}["RTRL"] == "rtrl"
    assert len(asked) == 6
    assert refused == []
    file = tmp_path / "my.py"
    file.write_text((EXAMPLES / "own_rule.py").read_text("utf-8"), "utf-8")
    run = Run.create({"rule": f"{file}:Broadcast", "task": "add", "steps": 20, "bin": 10})
    curve = replace(gathered().panels[0].curves[0], run=run.model_dump())
    given = gathered(panels=[replace(gathered().panels[0], curves=[curve])])
    assert [each.spec for each in asked_of(given)[0]] == [f"{file}:Broadcast"]
    file.write_text(file.read_text("utf-8") + "\n# changed\n", "utf-8")
    asked, (sentence,) = asked_of(given)
    assert asked == []
    assert "my.py" in sentence
    assert "changed" in sentence


@needs_chromium
def test_of_very_many_lines_the_first_are_on(chromium, tmp_path):
    panel = gathered().panels[0]
    curves = [replace(panel.curves[0], name=f"rule {k}") for k in range(50)]
    path = tmp_path / "report.html"
    path.write_text(report(gathered(panels=[replace(panel, curves=curves)])), "utf-8")
    with opened(chromium, path.as_uri()) as page:
        assert page.locator(LINES).count() == 40
        page.get_by_label("rule 49").check()
        page.wait_for_function(f'document.querySelectorAll("{LINES}").length === 41')


def test_while_some_seeds_are_ahead_the_mean_ends_where_the_others_do():
    panel = gathered().panels[0]
    loss = np.array([[3.0, 2.0, 1.0], [5.0, 4.0, np.nan]])
    curve = replace(panel.curves[0], seeds=[0, 1], step=np.array([10, 20, 30]), loss=loss, lost=np.array([False, False]))
    given = gathered(panels=[replace(panel, curves=[curve])])
    means = [json.loads(charted(given, [], None, live))["panels"][0]["curves"][0]["mean"] for live in (True, False)]
    assert means == [[4.0, 3.0, None], [4.0, 3.0, 1.0]]


@needs_chromium
def test_one_number_is_drawn_where_it_is_and_seeds_that_all_diverged_are_told(chromium, tmp_path):
    panel = gathered().panels[0]
    one = replace(panel.curves[0], seeds=[0], step=np.array([100]), loss=np.array([[0.6787]]), final=np.array([0.6787]))
    one = replace(one, lost=np.array([False]))
    gone = [replace(curve, lost=np.array([True] * 3), final=np.full(3, np.nan)) for curve in panel.curves]
    path = tmp_path / "report.html"
    path.write_text(report(gathered(panels=[replace(panel, curves=[one]), replace(panel, curves=gone)])), "utf-8")
    with opened(chromium, path.as_uri()) as page:
        labels = page.locator("[data-chart=finals][data-number='0'] .role-axis-label text").all_text_contents()
        ticks = [float(each) for each in labels if each != "one"]
        assert min(ticks) < 0.6787 < max(ticks)
        dot = page.locator("[data-chart=curves][data-number='0'] .mark-symbol path[opacity='1']")
        assert dot.count() == 1
        assert page.get_by_text("Every seed diverged").count() == 1


def test_own_rules_of_a_run_that_has_not_ended_are_left_out_with_a_sentence(tmp_path):
    file = tmp_path / "my.py"
    file.write_text((EXAMPLES / "own_rule.py").read_text("utf-8"), "utf-8")
    run = Run.create({"rule": f"{file}:Broadcast", "task": "add", "steps": 20, "bin": 10})
    curve = replace(gathered().panels[0].curves[0], run=json.loads(run.text()))  # as a cell has it
    asked, (sentence,) = asked_of(gathered(panels=[replace(gathered().panels[0], curves=[curve])]))
    assert asked == []
    assert "Broadcast" in sentence


def test_a_folder_with_results_of_several_commands_is_refused_and_its_files_are_not(tmp_path):
    for kind, name in (("fig1-written", "curves.nc"), ("fair-fig1", "sweep.nc")):
        (tmp_path / name).write_bytes((REPRODUCE / kind / name).read_bytes())
    with pytest.raises(ValueError, match=r"several commands: curves.nc, sweep.nc; name one"):
        gather(tmp_path)
    assert len(gather(tmp_path / "sweep.nc").panels) == 2
