"""The gates that `ciplug init` proposes: which metrics get one, and that the run they come from passes them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ciplug import config
from ciplug.capture.metric_files import read_metrics
from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.gates.propose import MOST, direction, propose
from ciplug.records.comparison import Side
from ciplug.records.run import METRIC_NAME, Run
from ciplug.records.verdict import Outcome, PolicySource
from ciplug.scaffold.configuration import Settings, render

METRICS = Path(__file__).parents[1] / "data" / "metrics"
UP = (
    "accuracy balanced_accuracy eval_accuracy val_acc f1 test/f1_macro F1Score rocAUC roc_auc auc r2 R2Score mAP50-95 "
    "metrics/mAP50(B) precision@k hits@10 top5_accuracy true_positive_rate explained_variance exact_match rougeL "
    "ndcg@5 neg_mean_squared_error neg_log_loss psnr throughput mean_iou 0/recall win_rate log_likelihood"
)
DOWN = (
    "loss val_loss eval/loss MSELoss rmse test_RMSE mae_usd mape max_error error_rate log_loss wer perplexity "
    "latency_p95_ms false_positive_rate negative_log_likelihood cross_entropy brier_score ece"
)
UNKNOWN = (
    "terror closs lossless glossary errored aucune maple remap learning_rate lr epoch n_samples support "
    "accuracy_std loss_weight loss_scale accuracy_threshold baseline_accuracy error_count num_errors accuracy_loss "
    "accuracy_gap train_runtime score time model_kb coverage f grad_norm true_positives"
)


@pytest.mark.parametrize(("names", "higher"), [(UP, True), (DOWN, False), (UNKNOWN, None)])
def test_the_words_of_a_name_say_which_way_is_better(names: str, higher: bool | None) -> None:
    wrong = {name: direction(name) for name in names.split() if direction(name) is not higher}
    assert not wrong


def gates(metrics: dict[str, float], constants: tuple[str, ...] = ()) -> dict[str, str]:
    return {gate.metric: gate.text for gate in propose(metrics, constants).gates}


def test_gates_are_on_overall_metrics_and_on_each_number_once() -> None:
    report = read_metrics(METRICS / "classification_report.json").values
    found = propose(report)
    assert [one.metric for one in found.gates] == ["accuracy", "macro avg/precision", "macro avg/f1-score"]
    assert found.left["weighted avg/recall"] == "it is the same number as accuracy"
    assert found.left["Men's wear/recall"] == "it is of one class"
    perfect = {"accuracy": 1.0, "weighted avg/recall": 1.0, "macro avg/recall": 1.0, "0/recall": 1.0, "1/recall": 1.0}
    assert list(gates(perfect)) == ["accuracy", "macro avg/recall"]
    assert list(gates({"0/recall": 0.7, "1/recall": 0.8})) == ["0/recall", "1/recall"]


def test_amounts_come_from_the_value() -> None:
    assert gates({"accuracy": 0.9, "rmse": 250.0}) == {
        "accuracy": "{higher_is_better: true, min: 0.85, max_regression: 0.01}",
        "rmse": "{higher_is_better: false, max: 300, max_regression: 5%}",
    }
    # More digits than a bound has: rounded away from the value.
    assert gates({"accuracy": 0.87654, "rmse": 251.3}) == {
        "accuracy": "{higher_is_better: true, min: 0.826, max_regression: 0.01}",
        "rmse": "{higher_is_better: false, max: 302, max_regression: 5%}",
    }
    percent = "{higher_is_better: true, min: 88.1, max_regression: 1}"
    assert gates({"accuracy": 93.1}) == {"accuracy": percent}
    assert gates({"auc": 0.03}) == {"auc": "{higher_is_better: true, max_regression: 0.01}"}
    assert gates({"r2": -2.0}) == {"r2": "{higher_is_better: true, min: -2.4, max_regression: 5%}"}
    assert gates({"neg_mean_squared_error": -4.0})["neg_mean_squared_error"].startswith(
        "{higher_is_better: true, min: -4.8,"
    )


def test_what_the_machine_decides_only_warns() -> None:
    (gate,) = propose({"latency_ms": 40.0}).gates
    assert gate.text == "{higher_is_better: false, max: 60, max_regression: 20%, severity: warning}"
    assert "machine" in gate.why


def test_test_data_come_before_validation_before_training() -> None:
    found = propose(
        {"train_loss": 0.1, "train_accuracy": 0.99, "val_accuracy": 0.9, "test_accuracy": 0.91, "loss": 0.2}
    )
    assert [gate.metric for gate in found.gates] == ["test_accuracy", "loss"]
    assert found.left == {
        "train_loss": "loss is gated",
        "train_accuracy": "test_accuracy is gated",
        "val_accuracy": "test_accuracy is gated",
    }
    found = propose({"train_loss": 0.1, "accuracy": 0.9})
    assert [gate.metric for gate in found.gates] == ["accuracy"]
    assert found.left == {"train_loss": "it is of the training data"}
    assert list(gates({"train_loss": 0.1})) == ["train_loss"]


def test_a_handful_and_the_plain_names_first() -> None:
    parts = {f"f1 of part {chr(97 + n)}": 0.5 + n / 100 for n in range(20)}
    found = propose({**parts, "f1": 0.75})
    assert len(found.gates) == MOST
    assert found.gates[0].metric == "f1"
    assert len(found.left) == 21 - MOST


def test_what_cannot_be_judged_by_is_named() -> None:
    metrics = {"auc": math.nan, "loss": math.inf, "rmse": 0.0, "f1": 0.5, "mae": 1e308 * 1.7, "wine": 3.0}
    found = propose(metrics, constants=["f1"])
    assert not found.gates
    assert found.left == {
        "auc": "it is nan in this run",
        "loss": "it is inf in this run",
        "rmse": "from 0 no slack can be taken",
        "f1": "it is 0.5 at every step",
        "mae": "from 1.7e+308 no slack can be taken",
        "wine": "its name does not say which way is better",
    }


def verdict(text: str, metrics: dict[str, float], *, baseline: bool) -> Outcome:
    """What a run with these numbers gets from this ciplug.yaml."""
    parsed = config.parse(text, Path("ciplug.yaml"))
    policy = parsed.policy
    run = Run(id="c" * 32, model="m", commit="1a" * 20, status="finished", started="", ended="", metrics=metrics)
    before = Side(role="baseline", label="merge base", how="none")
    if baseline:
        before = replace(before, run="b" * 32, metrics=metrics)
    evidence = Evidence(
        candidate=Side(role="candidate", label="this commit", how="", run=run.id, metrics=metrics),
        baselines=dict.fromkeys(policy.gates, before),
    )
    return evaluate(policy, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml")).outcome


def written(metrics: dict[str, float], model: str = "wine") -> str:
    return render(
        Settings(
            model=model,
            store=None,
            metrics=["metrics.json"],
            params=[],
            models=[],
            model_files=[],
            unread={"metrics": ["odd.json:3: 'a\x85b': no"]},
            numbers_of="metrics.json",
            proposal=propose(metrics),
        )
    )


PARTS = [*UP.split(), *DOWN.split(), "train", "val", "macro avg", "#1", "on", "1e3", "[a]", "a: b", "ü"]
NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join).filter(METRIC_NAME.fullmatch)


VALUES = st.floats(0, 1) | st.floats(0, 100) | st.floats()


def passes_its_own_gates(metrics: dict[str, float]) -> None:
    text = written(metrics)
    parsed = config.parse(text, Path("ciplug.yaml"))
    assert set(parsed.policy.gates) == {gate.metric for gate in propose(metrics).gates}
    if parsed.policy.gates:
        assert verdict(text, metrics, baseline=True) == "PASS"
        # Without a baseline, a rule that compares says so.
        assert verdict(text, metrics, baseline=False) == "WARN"


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=9))
@example({"loss": 5e-324, "mae": 1.7e308, "psnr": -5e-324, "accuracy": 5e-324})
@example({"accuracy": 0.05, "f1": 1.0, "auc": 100.0, "r2": 1.0000000000000002, "recall": 0.0})
def test_the_very_run_passes(metrics: dict[str, float]) -> None:
    passes_its_own_gates(metrics)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES | st.from_regex(METRIC_NAME, fullmatch=True).filter(str.isprintable), VALUES, max_size=9))
def test_any_run_passes_the_gates_that_are_proposed_for_it(metrics: dict[str, float]) -> None:
    passes_its_own_gates(metrics)


@settings(max_examples=20)
@given(st.text(min_size=1, max_size=20).filter(lambda t: t.strip() and t.isprintable()))
def test_any_name_of_a_model_is_read_as_it_is(name: str) -> None:
    assert config.parse(written({}, name), Path("ciplug.yaml")).model == name


def test_the_file_says_how_each_gate_came_about() -> None:
    text = written({"accuracy": 0.9333, "n_rows": 20.0})
    assert "# accuracy: it was 0.9333; a change may lose 1 point, and the bound is 5 points from that." in text
    assert "#   n_rows: its name does not say which way is better" in text
    assert "# Not used: odd.json:3: 'a b': no" in text
