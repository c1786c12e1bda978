"""Figures of an evaluation; each is drawn from the table that is written beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart by colour-blind readers, too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
CLASS_NAMES = {
    "random_split": "random split",
    "population_split": "population split",
    "unseen": "unseen genes",
    "negative_control": "negative controls",
}
CLASS_STYLES = {  # marker and colour
    "random_split": ("o", "#0072B2"),
    "population_split": ("s", "#D55E00"),
    "unseen": ("^", "#009E73"),
    "negative_control": ("X", "#000000"),
}


def figures_of(
    per_gene: pd.DataFrame, summary: pd.DataFrame, heritability: pd.DataFrame | None = None
) -> dict[str, tuple[pd.DataFrame, Callable[[pd.DataFrame], Figure]]]:
    """The table and the drawing function of every figure of an evaluation, by name; an empty table has no figure.

    Points of a learning curve (methods ``name@share``) stand in ``learning_curve`` only, if ``name`` itself is there.
    """
    methods = set(per_gene["method"])
    point = per_gene["method"].map(
        lambda method: curve_of(method)[0] != method and curve_of(method)[0] in methods
    )
    main = per_gene[~point.astype(bool)]
    found: dict[str, tuple[pd.DataFrame, Callable[[pd.DataFrame], Figure]]] = {
        "by_class": (by_class_table(main, summary), by_class_figure),
        "gene_wise": (gene_wise_table(main), gene_wise_figure),
        "learning_curve": (learning_curve_table(summary), learning_curve_figure),
    }
    if heritability is not None:
        shown = heritability[heritability["method"].isin(main["method"])]
        found["against_heritability"] = shown, heritability_figure
    return found


def by_class_table(per_gene: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Every gene's r beside the mean and interval of its class, for ``by_class_figure``.

    A class that no method predicts is left out.
    """
    points = per_gene.dropna(subset="pearson_r")[["method", "gene_class", "gene", "n", "pearson_r", "note"]]
    points = points[points["gene_class"].isin(points.loc[points["note"] != "not predicted", "gene_class"])]
    means = summary[["method", "gene_class", "mean_pearson_r", "ci_low", "ci_high"]]
    return points.merge(means, on=["method", "gene_class"], how="left")


def by_class_figure(table: pd.DataFrame) -> Figure:
    """Strips of per-gene r for each gene class and method, with the class mean and its 95% interval."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    methods = list(dict.fromkeys(table["method"]))
    classes = [name for name in CLASS_NAMES if name in set(table["gene_class"])]
    jitter = np.random.default_rng(0)
    strip = min(0.4, 0.8 / len(methods))
    width = max(6.4, 3.6 + len(classes) * max(1.3, 0.55 * len(methods)))
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    for (gene_class, method), rows in table.groupby(["gene_class", "method"], sort=False):
        number = methods.index(str(method))
        x = classes.index(str(gene_class)) + (number - (len(methods) - 1) / 2) * strip
        colour = COLOURS[number % len(COLOURS)]
        spread = x + jitter.uniform(-0.28, 0.28, len(rows)) * strip
        size = float(np.clip(1500 / len(rows), 5, 22))
        zero = rows["note"].isin(["constant", "not predicted"]).to_numpy()
        r = rows["pearson_r"].to_numpy()
        axes.scatter(spread[~zero], r[~zero], s=size, color=colour, alpha=0.45, linewidths=0, zorder=1)
        axes.scatter(spread[zero], r[zero], s=size, facecolors="none", edgecolors=colour, zorder=1)
        mean, low, high = rows[["mean_pearson_r", "ci_low", "ci_high"]].iloc[0]
        axes.vlines(x, low, high, color="black", linewidth=1.8, zorder=2)
        axes.plot(x, mean, "D", markersize=6.5, color=colour, markeredgecolor="black", zorder=3)
    counts = table.groupby("gene_class")["gene"].nunique()
    ticks = [f"{CLASS_NAMES[name]}\n{_genes(int(counts[name]))}" for name in classes]
    axes.set_xticks(range(len(classes)), ticks)
    axes.set_xlim(-0.5, len(classes) - 0.5)
    for edge in range(1, len(classes)):
        axes.axvline(edge - 0.5, color="0.9", linewidth=0.8, zorder=0)
    axes.set_ylabel("Pearson r of predicted and measured expression")
    axes.set_title(
        "Prediction of held-out people by gene class\ndot: a gene (open: constant or no prediction, counts 0)\n"
        "diamond and bar: mean and its 95% interval",
        fontsize=10.5,
    )
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], ls="", marker="D", mec="black", color=COLOURS[number % len(COLOURS)], label=method)
        for number, method in enumerate(methods)
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="method")
    return figure


def gene_wise_table(per_gene: pd.DataFrame) -> pd.DataFrame:
    """Every gene's r by the first method (x) beside its r by each other one (y), for ``gene_wise_figure``.

    A gene that one of the two does not predict is left out.
    """
    predicted = per_gene[per_gene["note"] != "not predicted"]
    points = predicted.dropna(subset="pearson_r")[["method", "gene", "gene_class", "pearson_r"]]
    methods = list(dict.fromkeys(points["method"]))
    is_first = points["method"] == (methods[0] if methods else None)
    pairs = points[~is_first].merge(points[is_first], on=["gene", "gene_class"], suffixes=("_y", "_x"))
    return pairs[["gene", "gene_class", "method_x", "pearson_r_x", "method_y", "pearson_r_y"]]


def gene_wise_figure(table: pd.DataFrame) -> Figure:
    """One panel a method: its r against the first method's, gene by gene, with the identity line."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    others = list(dict.fromkeys(table["method_y"]))
    classes = [name for name in CLASS_NAMES if name in set(table["gene_class"])]
    columns = min(3, len(others))
    rows = -(-len(others) // columns)
    figure = Figure(figsize=(2.2 + 3.7 * columns, 0.6 + 3.7 * rows), layout="compressed")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(others) :]:
        axes.set_visible(False)
    both = table[["pearson_r_x", "pearson_r_y"]].to_numpy()
    limits = min(float(both.min()), 0.0) - 0.05, max(float(both.max()), 0.0) + 0.05
    for axes, other in zip(panels, others, strict=False):
        panel = table[table["method_y"] == other]
        axes.plot(limits, limits, color="0.5", linewidth=1, zorder=0)
        axes.axhline(0, color="0.9", linewidth=0.8, zorder=0)
        axes.axvline(0, color="0.9", linewidth=0.8, zorder=0)
        for gene_class in classes:
            points = panel[panel["gene_class"] == gene_class]
            marker, colour = CLASS_STYLES[gene_class]
            x, y = points["pearson_r_x"], points["pearson_r_y"]
            axes.plot(x, y, ls="", marker=marker, color=colour, markersize=5, alpha=0.7)
        better = int((panel["pearson_r_y"] > panel["pearson_r_x"]).sum())
        axes.set_title(f"{other} higher: {better} of {_genes(len(panel))}", fontsize=10)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set_xlabel(f"Pearson r, {panel['method_x'].iloc[0]}")
        axes.set_ylabel(f"Pearson r, {other}")
        axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], ls="", marker=marker, color=colour, label=CLASS_NAMES[name])
        for name, (marker, colour) in CLASS_STYLES.items()
        if name in classes
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="gene class")
    figure.suptitle("Prediction of held-out people, gene by gene", fontsize=10.5)
    return figure


def curve_of(method: str) -> tuple[str, float]:
    """The learning curve that a method is on, and the share of the people it was trained on: ``name@share``, else 1."""
    name, at, share = method.rpartition("@")
    try:
        return (name, float(share)) if at and name and 0 < float(share) <= 1 else (method, 1.0)
    except ValueError:
        return method, 1.0


def learning_curve_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The mean r of methods that were trained on several shares of the people, for ``learning_curve_figure``."""
    curve = [curve_of(method) for method in summary["method"]]
    table = summary.assign(method=[name for name, _ in curve], share=[share for _, share in curve])
    several = table.groupby(["method", "gene_class"])["share"].transform("nunique") > 1
    columns = [
        "method",
        "share",
        "gene_class",
        "n_genes",
        "mean_pearson_r",
        "ci_low",
        "ci_high",
        "replicate_sd",
    ]
    table = table.loc[several & (table["n_missing"] < table["n_genes"]), columns]
    return table.sort_values(["method", "gene_class", "share"], kind="stable", ignore_index=True)


def learning_curve_figure(table: pd.DataFrame) -> Figure:
    """One panel a gene class: the mean r of each method against the share of the training people it saw."""
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(table["method"]))
    classes = [name for name in CLASS_NAMES if name in set(table["gene_class"])]
    figure = Figure(figsize=(2.4 + 3.4 * len(classes), 3.9), layout="constrained")
    panels = figure.subplots(1, len(classes), squeeze=False, sharey=True)[0]
    for axes, gene_class in zip(panels, classes, strict=True):
        of_class = table[table["gene_class"] == gene_class]
        for number, method in enumerate(methods):
            rows = of_class[of_class["method"] == method]
            share = 100 * rows["share"].to_numpy() + 1.2 * (number - (len(methods) - 1) / 2)
            mean = rows["mean_pearson_r"].to_numpy()
            error = np.maximum(0, [mean - rows["ci_low"].to_numpy(), rows["ci_high"].to_numpy() - mean])
            colour = COLOURS[number % len(COLOURS)]
            axes.errorbar(share, mean, error, color=colour, marker="o", markersize=5, linewidth=1.6,
                          elinewidth=1, capsize=2.5, label=method)  # fmt: skip
        axes.set_title(f"{CLASS_NAMES[gene_class]}, {_genes(int(of_class['n_genes'].max()))}", fontsize=10)
        axes.set_xlabel("training people used, %")
        axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        axes.set_xlim(0, 106)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean Pearson r and its 95% interval")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, title="method")
    figure.suptitle("Prediction of held-out people by the share of the training people", fontsize=10.5)
    return figure


def heritability_figure(table: pd.DataFrame) -> Figure:
    """One panel a method: each gene's r against h, the r of a perfect genetic prediction, with the identity line."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    methods = list(dict.fromkeys(table["method"]))
    classes = [name for name in CLASS_NAMES if name in set(table["gene_class"])]
    columns = min(3, len(methods))
    rows = -(-len(methods) // columns)
    figure = Figure(figsize=(2.2 + 3.7 * columns, 0.6 + 3.7 * rows), layout="compressed")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes in panels[len(methods) :]:
        axes.set_visible(False)
    for axes, method in zip(panels, methods, strict=False):
        axes.axline((0, 0), slope=1, color="0.5", linewidth=1, zorder=0)
        axes.axhline(0, color="0.9", linewidth=0.8, zorder=0)
        lines = []
        for gene_class in classes:
            points = table[(table["method"] == method) & (table["gene_class"] == gene_class)]
            if not len(points):
                continue
            marker, colour = CLASS_STYLES[gene_class]
            x, y = points["h"], points["pearson_r"]
            axes.plot(x, y, ls="", marker=marker, color=colour, markersize=4.5, alpha=0.6)
            lines.append(f"{CLASS_NAMES[gene_class]}: {y.mean():.3f} of {x.mean():.3f}")
        axes.set_title("\n".join([method, *lines]), fontsize=9)
        axes.set_xlabel("h, square root of heritability")
        axes.set_ylabel("Pearson r")
        axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D(
            [], [], ls="", marker=CLASS_STYLES[name][0], color=CLASS_STYLES[name][1], label=CLASS_NAMES[name]
        )
        for name in classes
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, title="gene class")
    figure.suptitle("r against its ceiling (means of r and of h over genes)", fontsize=10.5)
    return figure


def save(figure: Figure, table: pd.DataFrame, stem: Path) -> Path:
    """Write a figure as ``stem.png`` and ``stem.pdf`` and its table as ``stem.tsv``; the PNG's path."""
    table.to_csv(stem.with_suffix(".tsv"), sep="\t", index=False, float_format="%.6g")
    figure.savefig(stem.with_suffix(".pdf"))
    figure.savefig(stem.with_suffix(".png"), dpi=160)
    return stem.with_suffix(".png")


def _genes(n: int) -> str:
    return f"{n} gene" if n == 1 else f"{n} genes"
