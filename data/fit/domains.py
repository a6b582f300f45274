"""What transfers from one kind of run to another: tables in Markdown for docs/eval.md. Called by `fit.py --domains`."""
import collections

import numpy as np
from scipy.optimize import minimize

import fit

# Outcomes within one set are comparable: the same agent, with the same kind of user.
SETS_WITH_OUTCOMES = (("tau_airline_gpt4o", "airline"), ("tau2_gpt5", "airline"), ("tau2_gpt5", "retail"), ("mini_swe_gemini3", "software"))
PULL = 1.0


def report(model, rows, runs, trouble):
    rows = [row for row in rows if row["domain"]]
    signals_by_domain(rows, trouble)
    outcomes_left_out(rows)
    verdicts(rows)
    labels_left_out(model, runs)


def has(row, signal):
    return signal in row["signals"]


def signals_by_domain(rows, trouble):
    """How many failed and successful runs of each domain have each signal that raises a suspicion or decides."""
    of = lambda domain, outcome: [row for row in rows if row["domain"] == domain and row["outcome"] == outcome]
    print("\n| signal | " + " | ".join(f"{d} ({len(of(d, 'failure'))} failed, {len(of(d, 'success'))} ok)" for d in fit.DOMAINS) + " |")
    print("|---" * (1 + len(fit.DOMAINS)) + "|")
    for signal in trouble:
        cells = []
        for domain in fit.DOMAINS:
            failed, ok = (sum(has(row, signal) for row in of(domain, outcome)) for outcome in ("failure", "success"))
            cells.append(f"{failed}, {ok}" if failed + ok else "")
        if any(cells):
            print(f"| `{signal}` | " + " | ".join(cells) + " |")


def auc(failed, ok):
    return sum((a > b) + 0.5 * (a == b) for a in failed for b in ok) / (len(failed) * len(ok))


def outcomes_left_out(rows):
    """A logistic regression over all signals, fitted on the other domains: does it tell failed runs from successful ones?"""
    names = sorted({s for row in rows for s in row["signals"]})
    x = np.array([[float(s in set(row["signals"])) for s in names] + [1.0] for row in rows])
    y = np.array([float(row["outcome"] == "failure") for row in rows])
    print("\n| left out | failed, ok | AUC within the domains | AUC left out | ok runs called failed |\n|---|---|---|---|---|")
    inside = cross_validated(x, y)
    for domain in ("retail", "airline", "software"):
        out = np.array([row["domain"] == domain for row in rows])
        measured = out & np.array([row["set"] == "outcomes" for row in rows])
        p = predict(fitted(x[~out], y[~out]), x)
        split = lambda q: (q[measured & (y == 1)], q[measured & (y == 0)])
        failed, ok = split(p)
        print(f"| {domain} | {len(failed)}, {len(ok)} | {auc(*split(inside)):.2f} | {auc(failed, ok):.2f} | {np.mean(ok >= 0.5):.0%} |")


def fitted(x, y):
    def loss(w):
        z = x @ w
        value = np.logaddexp(0, z).sum() - y @ z + PULL * (w[:-1] ** 2).sum() / 2
        return value, x.T @ (1 / (1 + np.exp(-z)) - y) + PULL * np.append(w[:-1], 0)

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x


def predict(w, x):
    return 1 / (1 + np.exp(-(x @ w)))


def cross_validated(x, y):
    fold = np.random.RandomState(0).permutation(len(y)) % fit.FOLDS
    p = np.zeros(len(y))
    for number in range(fit.FOLDS):
        out = fold == number
        p[out] = predict(fitted(x[~out], y[~out]), x[out])
    return p


def p_failed(row):
    if row["answer"] == fit.NO_FAILURE:
        return 1 - row["confidence"]
    return 0.5 if row["answer"].endswith("/insufficient_evidence") else row["confidence"]


def verdicts(rows):
    """The verdicts of failsift: what it says of successful and of failed runs, and whether longer runs failed more often."""
    print("\n| runs | outcome | no failure found | suspicion | called failed | at 0.5 and more | AUC | AUC of the length |\n|---|---|---|---|---|---|---|---|")
    aucs = []
    for name, domain in SETS_WITH_OUTCOMES:
        these = [row for row in rows if row.get("group") == name and row["domain"] == domain]
        split = {outcome: [row for row in these if row["outcome"] == outcome] for outcome in ("failure", "success")}
        value = auc(*([p_failed(row) for row in split[o]] for o in ("failure", "success")))
        length = auc(*([row["length"] for row in split[o]] for o in ("failure", "success")))
        aucs.append((value, len(split["failure"]) * len(split["success"])))
        for outcome, runs in split.items():
            counts = collections.Counter(kind_of(row) for row in runs)
            sure = sum(kind_of(row) == "failed" and row["confidence"] >= 0.5 for row in runs)
            tail = f"{value:.2f} | {length:.2f}" if outcome == "failure" else " | "
            print(f"| {name}, {domain} | {outcome} {len(runs)} | {counts['nothing']} | {counts['suspicion']} | {counts['failed']} | {sure} | {tail} |")
    print(f"pooled AUC {sum(a * n for a, n in aucs) / sum(n for _, n in aucs):.2f}")


def kind_of(row):
    if row["answer"] == fit.NO_FAILURE:
        return "nothing"
    return "suspicion" if row["answer"].endswith("/insufficient_evidence") else "failed"


def labels_left_out(model, runs):
    """The suspected label of failed runs, by a model that was fitted on the runs of other domains."""
    answers = list(fit.left_out_domains(model, runs))
    print("\n| left out | runs | category right | constant | category and factor right | constant |\n|---|---|---|---|---|---|")
    for domain in ("retail", "web", "gaia"):
        pairs = [(row, label) for row, (_, label, _) in answers if row["domain"] == domain and row["certain"]]
        category = lambda label: label.split("/")[0]
        right = lambda of: np.mean([of(label) in {of(r) for r in row["right"]} for row, label in pairs])
        best = lambda of: max(np.mean([c in {of(r) for r in row["right"]} for row, _ in pairs]) for c in {of(r) for row, _ in pairs for r in row["right"]})
        same = lambda label: label
        print(f"| {domain} | {len(pairs)} | {right(category):.0%} | {best(category):.0%} | {right(same):.0%} | {best(same):.0%} |")
