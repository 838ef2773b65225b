"""Plots: what is drawn is read back from the figure, the same data give the same bytes, and odd curves have axes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from maskgen.errors import MaskgenError, UsageError
from mfr_train import figure
from mfr_train.evaluation import curves, metrics, plots
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.curves import Curve
from mfr_train.training import plots as training_plots

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures have few pixels, which are drawn faster."""
    monkeypatch.setattr(figure, "DPI", 50)


def curve(genuine: list[float], impostor: list[float]) -> Curve:
    return curves.curve(from_scores(genuine, impostor))


def shares(text: list[str]) -> list[float]:
    return [float(each) / 100 for each in text]


def test_a_det_curve_is_the_staircase_of_the_rates() -> None:
    """Corners, worked out by hand: FMR 0 with FNMR 2/4 (t = .7), FMR 3/5 with 1/4 (t = .5), FMR 4/5 with 0 (t = .2)."""
    [axes] = plots.det({"U-U": curve([0.2, 0.5, 0.7, 0.9], [0.1, 0.3, 0.6, 0.6, 0.65])}).axes
    line = axes.get_lines()[0]
    x, y = (np.asarray(values).tolist() for values in line.get_data())
    # No false match is drawn at one of five, and no false non-match at one of four.
    assert x == [0.2, 0.6, 0.8]
    assert y == [0.5, 0.25, 0.25]
    assert axes.get_xlim() == (0.2, 0.5)
    assert axes.get_ylim()[0] == 0.2
    assert axes.get_xscale() == axes.get_yscale() == "function"


def test_axes_are_of_normal_deviates() -> None:
    """A normal distribution with equal variances has a straight DET curve (Martin et al., 1997)."""
    [axes] = plots.det({"U-U": curve([0.9, 0.4], [0.5, 0.1])}).axes
    transform = axes.xaxis.get_transform()
    rates, deviates = [0.001, 0.5, 0.975], [-3.090232306167813, 0, 1.959963984540054]  # of printed tables
    np.testing.assert_allclose(transform.transform(np.array(rates)), deviates, atol=1e-9)
    np.testing.assert_allclose(transform.inverted().transform(np.array(deviates)), rates, atol=1e-9)


def test_axes_begin_where_the_pairs_end() -> None:
    generator = np.random.default_rng(5)
    found = curves.curve(from_scores(generator.normal(1, 0.4, 115), generator.normal(0, 0.4, 4000)))
    figures = plots.det({"U-M": found}), plots.roc({"U-M": found})
    assert [each.axes[0].get_xlim()[0] for each in figures] == [1 / 4000, 1 / 4000]
    assert figures[0].axes[0].get_ylim()[0] == 1 / 115
    ticks = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert min(shares(ticks)) > 1 / 115
    assert {"1", "2", "5", "10", "20", "40"} <= set(ticks)


def test_labels_of_ticks_do_not_touch() -> None:
    """Ten million impostor pairs: the axis reaches from 0.00001 % to 50 %, more than its labels have room for."""
    few = curve([0.9, 0.4, 0.2, 0.1], [0.5, 0.1, 0.0])
    found = plots.det({"U-M": replace(few, genuine=20_000, impostor=1e7)})
    canvas = FigureCanvasAgg(found)
    canvas.draw()
    [axes] = found.axes
    for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
        ends = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
        assert len(ends) > 5
        assert all(high < low for (_, high), (low, _) in pairwise(ends))


def test_a_perfect_system_is_marked_at_the_lowest_rates() -> None:
    found = plots.det({"U-U": curve([0.9, 0.8, 0.7, 0.95, 0.85, 0.75], [0.1] * 20)})
    [axes] = found.axes
    marks = [line for line in axes.get_lines() if line.get_marker() == "v"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in marks] == [([1 / 20], [1 / 6])]
    assert "no false non-match beyond" in axes.get_title(loc="left")
    line = plots.roc({"U-U": curve([0.9, 0.8], [0.1] * 20)}).axes[0].get_lines()[0]
    assert [list(values) for values in line.get_data()] == [[1 / 20, 1], [1, 1]]


def test_operating_points_are_those_of_the_figures() -> None:
    generator = np.random.default_rng(6)
    counts = from_scores(generator.normal(1, 0.5, 300), generator.normal(0, 0.5, 5000))
    [axes] = plots.det({"U-M": curves.curve(counts)}, (0.1, 0.01, 1e-5)).axes
    [marked] = [line for line in axes.get_lines() if line.get_marker() == "o"]
    figures = metrics.figures_of(counts)
    assert (np.diff(marked.get_xdata()) < 0).all()
    assert (marked.get_xdata() <= [figures.fmr10.fmr, figures.fmr100.fmr]).all(), "1e-5 is below one false match"
    assert list(marked.get_ydata()) == [figures.fmr10.fnmr, figures.fmr100.fnmr]


def test_bands_are_drawn_around_the_curve() -> None:
    plain = curve([0.2, 0.5, 0.7, 0.9], [0.1, 0.3, 0.6, 0.6, 0.65])
    banded = replace(plain, low=plain.fnmr * 0.5, high=np.minimum(plain.fnmr * 1.5, 1))
    [axes] = plots.roc({"U-U": banded}).axes
    [band] = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(1 - banded.high.max())
    assert heights.max() == pytest.approx(1 - banded.low.min())
    assert "bands: 95 % over subjects" in axes.get_title(loc="left")
    assert "bands" not in plots.det({"U-U": plain}).axes[0].get_title(loc="left")


def names_of(axes: Axes) -> dict[str, Text]:
    return {text.get_text(): text for text in axes.texts}


def test_names_stand_beside_their_curves_and_cover_none() -> None:
    generator = np.random.default_rng(8)
    names = {"near": 0.9, "middle": 0.8, "far": 0.4}
    found = {n: curve(generator.normal(m, 0.2, 300), generator.normal(0, 0.2, 3000)) for n, m in names.items()}
    drawn = plots.det(found)
    [axes] = drawn.axes
    assert names_of(axes).keys() == names.keys()
    assert not drawn.legends
    lines = {line.get_label(): line for line in axes.get_lines() if line.get_label() in names}
    for name, text in names_of(axes).items():
        assert text.get_color() == lines[name].get_color()
        box = text.get_window_extent()
        distances = {}
        for other, line in lines.items():
            corners = line.get_transform().transform(line.get_path().vertices)
            points = np.concatenate([np.linspace(a, b, 50) for a, b in pairwise(corners)])
            beyond = np.maximum(np.maximum([box.x0, box.y0] - points, points - [box.x1, box.y1]), 0)
            distances[other] = np.hypot(*beyond.T).min()
        assert 0 < distances[name] < 12, (name, distances)
        assert min(distances, key=distances.__getitem__) == name


def test_names_without_room_are_in_a_legend() -> None:
    found = curve([0.2, 0.5, 0.7, 0.9], [0.1, 0.3, 0.6, 0.6, 0.65])
    names = [f"system {number}" for number in range(8)]
    drawn = plots.roc(dict.fromkeys(names, found))
    assert not drawn.axes[0].texts
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == names
    assert drawn.get_size_inches()[1] > plots.roc({"U-U": found}).get_size_inches()[1]


def test_perfect_systems_have_names_apart() -> None:
    [axes] = plots.roc({name: curve([0.9, 0.8], [0.1] * 20) for name in ("U-U", "U-M", "M-M")}).axes
    boxes = [text.get_window_extent() for text in names_of(axes).values()]
    assert len(boxes) == 3
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])


def test_figures_have_one_size_and_one_style_whatever_is_set(tmp_path: Path) -> None:
    found = curve([0.2, 0.5, 0.7, 0.9], [0.1, 0.3, 0.6, 0.6, 0.65])
    with matplotlib.rc_context({"font.size": 30, "axes.linewidth": 9, "figure.dpi": 50}):
        drawn = plots.roc({"U-U": found})
        figure.save(drawn, tmp_path / "roc")
    assert drawn.get_size_inches()[0] == figure.COLUMN
    assert drawn.axes[0].xaxis.label.get_size() == 8
    assert drawn.axes[0].spines["left"].get_linewidth() == 0.6
    assert cv2.imread(str(tmp_path / "roc.png")).shape[1] == figure.COLUMN * figure.DPI


def test_a_long_name_loses_its_middle() -> None:
    shown = figure.label("begins " + "x" * 200 + " ends")
    assert (len(shown), shown[:6], shown[-4:], "\u2026" in shown) == (figure.LONGEST_LABEL, "begins", "ends", True)


def test_histograms_are_densities_with_thresholds() -> None:
    generator = np.random.default_rng(7)
    sides = generator.normal(0.6, 0.1, 3000), generator.normal(0, 0.1, 9000)
    found = curves.histogram(from_scores(*sides))
    panels = plots.histogram({"U-U": found, "M-M": found}, {"FMR below 1 %": 0.25, "none": np.inf}).axes
    assert len(panels) == 2
    for axes in panels:
        areas = []
        for patch in axes.patches:
            values, edges, _ = patch.get_data()
            areas.append(values @ np.diff(edges))
        np.testing.assert_allclose(areas, 1)
        assert [line.get_xdata()[0] for line in axes.get_lines()] == [0.25]


@pytest.mark.parametrize(
    ("genuine", "impostor"), [([0.5, 0.75], [0.25]), ([0.5], [0.5]), ([0.1], [0.9]), ([0.0, 0.0], [0.0] * 3)]
)
def test_the_smallest_curves_have_axes(
    genuine: list[float], impostor: list[float], tmp_path: Path, recwarn: pytest.WarningsRecorder, coarse: None
) -> None:
    counts = from_scores(genuine, impostor)
    plotted = {"U-U": (curves.curve(counts), curves.histogram(counts))}
    plots.write(plotted, {0.01: 0.5, 0.1: np.inf}, tmp_path, ("png",))
    assert not [str(warning.message) for warning in recwarn]
    for name in ("det", "roc", "histogram"):
        assert cv2.imread(str(tmp_path / f"{name}.png")).std() > 1


def test_the_same_scores_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in another process, which has other hashes of strings, and later.

    Each kind of plot is written as SVG, which has identifiers; how a PNG and a PDF are written depends on no kind.
    """
    program = """
import sys
from pathlib import Path
from mfr_train import figure
from mfr_train.evaluation import curves, plots
from mfr_train.evaluation.counts import from_scores
counts = from_scores([.2, .5, .7, .9], [.1, .3, .6, .6, .65])
plotted = {"U-U": (curves.curve(counts), curves.histogram(counts))}
folder = Path(sys.argv[1])
plots.write(plotted, {.1: .6}, folder, ("svg",))
figure.save(plots.histogram({"U-U": plotted["U-U"][1]}, {"at": .6}), folder / "histogram", ("png", "pdf"))
"""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "one")])
    exec(program, {})
    environment = {**os.environ, "PYTHONHASHSEED": "2", "SOURCE_DATE_EPOCH": "2"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "other")], check=True, env=environment)
    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert [name for name in written if not name.endswith(".csv")] == [
        "det.svg", "histogram.pdf", "histogram.png", "histogram.svg", "roc.svg"
    ]  # fmt: skip
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name


def test_names_are_neither_formulas_nor_hidden() -> None:
    found = curve([0.2, 0.5, 0.7, 0.9], [0.1, 0.3, 0.6, 0.6, 0.65])
    drawn = plots.det({"$\\frac{$": found, "_hidden": found, "$a$": found})
    texts = [
        text.get_text() for text in (*drawn.axes[0].texts, *(t for each in drawn.legends for t in each.get_texts()))
    ]
    assert {r"\$\frac{\$", " _hidden", r"\$a\$"} <= set(texts)
    drawn.savefig(io.BytesIO())


@pytest.mark.parametrize(("text", "formats"), [("png", ("png",)), ("svg, pdf,svg", ("svg", "pdf")), ("none", ())])
def test_formats_are_a_list(text: str, formats: tuple[str, ...]) -> None:
    assert figure.chosen_formats(text) == formats


@pytest.mark.parametrize("text", ["", "jpg", "png,none", "png,,svg"])
def test_an_unknown_format_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="give a list of png, svg, pdf, or none"):
        figure.chosen_formats(text)


def test_a_training_table_with_blanks_is_drawn(tmp_path: Path, coarse: None) -> None:
    table = tmp_path / "curves.csv"
    table.write_text(
        "stage,iteration,loss,lr,val_accuracy\n"
        "classify,1,3.0,0.1,\nclassify,2,2.5,0.1,0.25\nclassify,3,,0.01,0.5\nembed,1,0.2,0.05,\n"
    )
    found = training_plots._read_curves(table)
    np.testing.assert_array_equal(found["classify"]["loss"], [[1, 2], [3.0, 2.5]])
    np.testing.assert_array_equal(found["classify"]["val_accuracy"], [[2, 3], [0.25, 0.5]])
    np.testing.assert_array_equal(training_plots._drops(found["classify"]["lr"]), [3])
    assert found["embed"]["val_accuracy"][0].size == 0
    training_plots.plot_curves(table, tmp_path / "curves", ("png",))
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 1


def test_a_training_is_drawn_in_the_formats_that_are_asked_for(tmp_path: Path, coarse: None) -> None:
    table, plot = tmp_path / "curve.csv", tmp_path / "curve"
    table.write_text("stage,iteration,loss,lr,val_accuracy\nembed,1,0.2,0.05,\nembed,2,0.1,0.05,\n")
    for formats, starts in ((("png", "svg"), (b"\x89PNG", b"<?xml")), (("pdf",), (b"%PDF",)), ((), ())):
        training_plots.plot_curves(table, plot, formats)
        assert {path.name for path in tmp_path.iterdir()} == {"curve.csv", *(f"curve.{each}" for each in formats)}
        for each, start in zip(formats, starts, strict=True):
            assert plot.with_suffix(f".{each}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage,iteration,loss,lr,val_accuracy\n", "holds no loss"),
        ("stage,iteration,loss\na,1,2\n", "cannot read"),
        ("stage,iteration,loss,lr,val_accuracy\na,x,2,,\n", "cannot read"),
    ],
)
def test_an_unusable_training_table_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "curves.csv"
    table.write_text(text)
    with pytest.raises(MaskgenError, match=said):
        training_plots.plot_curves(table, tmp_path / "curves", ("png",))
    assert not (tmp_path / "curves.png").exists()
