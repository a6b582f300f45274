#!/usr/bin/env python3
"""Fits the embedded analyzer's model of dialogues and its calibration on the labelled traces of `data/`.

    python3 data/fit/fit.py            fit, and write src/analyze/embedded/{weights,calibration}.json
    python3 data/fit/fit.py --check    cross-validate only, and print the figures
    python3 data/fit/fit.py --calibrate  refit only the confidence of rules, catalogue and text model
    python3 data/fit/fit.py --domains  print what transfers from one kind of run to another, in Markdown (docs/eval.md)

Needs Python 3.11, numpy and scipy, and a built failsift (FAILSIFT is the path of the binary; default: the newest below target/).

The model: a softmax over labels. Each label has a bias, weights for the signals that its rule in `rules/dialogue.toml` lists, and weights
for the four kinds of run. A prior pulls each weight towards `expected` of the rule, or towards 0. An answer is right if it is the label or
one of `also`. The loss is that of partial labels, -log of the probability of all right labels, plus the same for categories. If two groups
of people labelled a run, both labels are used, and both are in the same fold.

The model ranks the labels that a run may be suspected of. It does not say whether a run failed: on runs of a kind that was left out, its signals
do not tell failed runs from successful ones. `--domains` shows this. It leaves out one domain at a time: retail, airline, software, web, gaia,
questions. Runs of tau-bench, tau2-bench, mini-swe-agent and SWE-agent have a measured outcome; runs labelled by people all failed.

Cross-validation is by run, ten folds, averaged over shuffles. The settings below were chosen with it too, so its figures are slightly high.

The calibration: one logistic regression for each way to a verdict (a rule, a suspicion, nothing found), over the facts that
`failsift eval --explain` writes; for suspicions, over the probabilities of held-out runs, where successful runs count as wrong. The rules that call a
dialogue failed are too few to fit; their confidence is used as it is. For rules, catalogue and text model half of the weight have the first looks in
`unseen.jsonl`, at error messages and tool results that nobody had seen (77 of 95 verdicts right; 151 of 172 in a second set). Rules and tables have been
corrected since, so their verdicts on these and on other labelled traces would contain no mistakes to learn from.
"""
import collections, glob, gzip, json, os, random, subprocess, sys, tempfile, tomllib

import numpy as np
from scipy.optimize import minimize

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
EMBEDDED = os.path.join(ROOT, "src", "analyze", "embedded")
SETS = ("captures", "datadog_export", "agent_runs", "who_and_when", "healthy_runs", "outcomes")
KINDS_OF_RUN = ("orchestrated", "terminal_team", "talks_to_user", "team")

PULL, PULL_KINDS, PULL_BIAS = 2.5, 1.0, 0.05  # precision of the priors
CATEGORY_SHARE = 0.2  # share of categories in the loss
CATEGORY_FIRST = 5.0  # weight of the category in the choice of a label
SET_WEIGHT = {"agent_runs": 1.7, "who_and_when": 1.0}  # runs with one label weigh more than runs with several
UNCERTAIN_WEIGHT = 0.5

# The expected effect of each fact on the confidence, and how strongly weights are pulled towards it.
# `confirmed` and `disputed`: another layer says the same, or something else.
ANY_FAILURE = {"contested": -0.7, "conversation": -2.9, "no_message": -0.5, "confirmed": 0.5, "disputed": -0.3, "orphans": -0.3, "unfinished": -0.3, "unstructured": -0.5}
CALIBRATION = {
    "rule": {"expected": {"rule": 0.3, "corroborated": 0.5, "last_resort": -1.5, **ANY_FAILURE}, "pull": 1.0},
    "catalogue": {"expected": {"name_suffix": -0.8, "base": -0.4, "status": -0.4, **ANY_FAILURE}, "pull": 1.0},
    "text_model": {"expected": {"probability": 1.0, **ANY_FAILURE}, "pull": 3.0},
    "nothing": {
        "expected": {"documents_missing": -1.0, "finish_reasons_missing": -0.5, "texts_missing": -0.5, "results_missing": -0.3, "recovered": -0.5,
                     "dialogue": -1.0, "conversation": -1.5, "dialogue_length": -0.2, "answer_not_backed": -1.0, "orphans": -0.3, "unfinished": -0.3, "unstructured": -0.5, "unexplained": -0.7},
        "pull": 0.3,
    },
}
# As in confidence.rs and verdict.rs.
SUSPICION_CONFIDENCE_MAX = 0.49
DECIDING_CONFIDENCE_MIN = 0.5
DOMAINS = ("retail", "airline", "software", "web", "gaia", "questions")
FOLDS, SHUFFLES = 10, 5
FAILURE_WAYS = ("rule", "catalogue", "text_model")
FAILURE_SETS = ("captures", "datadog_export", "frameworks")


def explanations(name):
    """The facts and verdicts of failsift for each trace of a set, with the labels."""
    binary = os.environ.get("FAILSIFT") or max(glob.glob(os.path.join(ROOT, "target", "*", "failsift")), key=os.path.getmtime)
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "explained.jsonl")
        environment = dict(os.environ, FAILSIFT_REDACTION_KEY="a key for fitting, that is no secret")
        command = [binary, "eval", "--input", os.path.join(ROOT, "data", "labelled", name), "--explain", out]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        seen = {key(row["trace_id"]): row for row in map(json.loads, open(out))}
    rows = []
    for label in map(json.loads, open(os.path.join(ROOT, "data", "labels", name + ".jsonl"))):
        row = seen.get(key(label["trace_id"]))
        if row is None:
            sys.exit(f"{name}: {label['trace_id']} has no pattern")
        row["set"] = name
        row["right"] = [f"{label['category']}/{label['contributing_factor']}"] + label.get("also", [])
        row["certain"] = label.get("certain", True)
        row["domain"] = label.get("domain") or domain_of(name, label["trace_id"])
        row["group"] = label.get("set")
        row["length"] = row["facts"].get("dialogue_length", 0.0)
        row["outcome"] = label.get("outcome") or ("success" if row["right"][0] == NO_FAILURE else "failure")
        rows.append(row)
    return rows


NO_FAILURE = "unclassified/no_failure_found"


def domain_of(name, trace_id):
    """The domain of a run whose label does not say it; None for captures."""
    if name == "healthy_runs":
        return "questions"
    if name == "agent_runs":
        return "retail" if trace_id.startswith("tau-") else "web"
    if name == "who_and_when":
        # Teams of Magentic-One with a browser, and teams of CaptainAgent with a terminal.
        return "web" if trace_id.startswith("ww-hand") else "gaia"
    return None


def key(trace_id):
    return trace_id.replace("-", "").lower()


def groups_of(rows):
    """Group numbers: runs with the same messages are one group, although their ids differ."""
    texts = {}
    for name in ("agent_runs", "who_and_when"):
        for run in map(json.loads, gzip.open(os.path.join(ROOT, "data", "labelled", name, "runs.jsonl.gz"), "rt")):
            texts[key(run["trace_id"])] = json.dumps([m.get("content") for m in run["messages"][1:5]])
    numbers = {}
    return np.array([numbers.setdefault(texts[key(row["trace_id"])], len(numbers)) for row in rows])


class Model:
    """Names of labels and signals, the pairs that may have a weight, and the expected weights."""

    def __init__(self, rules):
        self.rules = [rule for rule in rules if rule.get("weighed")]
        self.enough = [(rule, set(rule.get("alone", []) if rule.get("weighed") else rule["signals"])) for rule in rules]
        self.labels = [rule["label"] for rule in self.rules]
        self.categories = sorted({label.split("/")[0] for label in self.labels})
        self.signals = list(KINDS_OF_RUN) + sorted({s for rule in self.rules for s in rule["signals"]} - set(KINDS_OF_RUN))
        shape = (len(self.labels), len(self.signals) + 1)
        self.mask, self.mean, self.pull = np.zeros(shape), np.zeros(shape), np.full(shape, PULL)
        self.mask[:, : len(KINDS_OF_RUN)] = 1
        self.mask[:, -1] = 1
        self.pull[:, : len(KINDS_OF_RUN)] = PULL_KINDS
        self.pull[:, -1] = PULL_BIAS
        for number, rule in enumerate(self.rules):
            for signal in rule["signals"]:
                self.mask[number, self.signals.index(signal)] = 1
            for signal, weight in rule.get("expected", {}).items():
                self.mean[number, self.signals.index(signal)] = weight
        self.of_category = np.zeros((len(self.labels), len(self.categories)))
        for number, label in enumerate(self.labels):
            self.of_category[number, self.categories.index(label.split("/")[0])] = 1

    def features(self, rows):
        return np.array([[float(s in set(row["signals"])) for s in self.signals] for row in rows])

    def targets(self, rows):
        return np.array([[float(label in row["right"]) for label in self.labels] for row in rows])

    def fit(self, features, targets, weights):
        count = features.shape[1]
        of_category = np.minimum(targets @ self.of_category, 1)
        known = targets.sum(1) > 0
        features, targets, of_category, weights = features[known], targets[known], of_category[known], weights[known]

        def loss(flat):
            matrix = flat.reshape(self.mean.shape) * self.mask
            p = softmax(features @ matrix[:, :count].T + matrix[:, count])
            right, right_category = (p * targets).sum(1) + 1e-12, ((p @ self.of_category) * of_category).sum(1) + 1e-12
            off = matrix - self.mean * self.mask
            value = -(weights * np.log(right)).sum() * (1 - CATEGORY_SHARE) - (weights * np.log(right_category)).sum() * CATEGORY_SHARE
            value += (self.pull * off**2).sum() / 2
            gradient = (1 - CATEGORY_SHARE) * weights[:, None] * (p - p * targets / right[:, None])
            gradient += CATEGORY_SHARE * weights[:, None] * (p - p * (of_category @ self.of_category.T) / right_category[:, None])
            full = np.hstack([gradient.T @ features, gradient.sum(0)[:, None]]) + self.pull * off
            return value, (full * self.mask).ravel()

        found = minimize(loss, (self.mean * self.mask).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        return found.x.reshape(self.mean.shape) * self.mask

    def probabilities(self, matrix, features):
        return softmax(features @ matrix[:, :-1].T + matrix[:, -1])

    def choose(self, p):
        return (p + CATEGORY_FIRST * (p @ self.of_category) @ self.of_category.T).argmax(1)

    def answers(self, p, rows):
        """Way, label and probability of each run, computed like in the analyzer."""
        for row, chosen, probabilities in zip(rows, self.choose(p), p):
            if not row["is_conversation"]:
                yield "nothing", NO_FAILURE, None
                continue
            fired = [rule for rule, enough in self.enough if enough & set(row["signals"])]
            stated = max(fired, key=lambda rule: rule["confidence"], default=None)
            if stated and stated["confidence"] >= DECIDING_CONFIDENCE_MIN:
                yield "dialogue", stated["label"], stated["confidence"]
            elif stated and stated["confidence"] >= min(probabilities[chosen], SUSPICION_CONFIDENCE_MAX):
                yield "suspicion", stated["label"], stated["confidence"]
            else:
                yield "suspicion", self.labels[chosen], probabilities[chosen]


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def logit(p):
    p = np.clip(p, 0.001, 0.999)
    return np.log(p / (1 - p))


def trouble_signals():
    """The signals without which no dialogue is suspected."""
    return [signal["id"] for signal in tomllib.load(open(os.path.join(EMBEDDED, "rules", "dialogue.toml"), "rb"))["signal"] if signal.get("trouble")]


def with_success(rows):
    """The conversations and software runs with a measured success. No label was fitted on them."""
    return [row for row in rows if row["set"] == "outcomes" and row["domain"] != "questions" and row["outcome"] == "success"]


def cross_validate(model, rows):
    """For each shuffle, the probabilities of the runs, each from the fold that held it out."""
    features, targets, groups = model.features(rows), model.targets(rows), groups_of(rows)
    weights = weights_of(rows)
    for seed in range(SHUFFLES):
        fold = (np.random.RandomState(seed).permutation(groups.max() + 1) % FOLDS)[groups]
        p = np.zeros(targets.shape)
        for number in range(FOLDS):
            out = fold == number
            p[out] = model.probabilities(model.fit(features[~out], targets[~out], weights[~out]), features[out])
        yield p


def left_out_domains(model, rows):
    """Pairs of a run and its answer by a model that was fitted on the runs of other domains."""
    features, targets, weights, groups = model.features(rows), model.targets(rows), weights_of(rows), groups_of(rows)
    for domain in sorted({row["domain"] for row in rows}):
        out = np.array([row["domain"] == domain for row in rows])
        # A run that two groups of people labelled is in both sets.
        train = ~out & ~np.isin(groups, groups[out])
        p = model.probabilities(model.fit(features[train], targets[train], weights[train]), features[out])
        these = [row for row, is_out in zip(rows, out) if is_out]
        yield from zip(these, model.answers(p, these))


def weights_of(rows):
    return np.array([SET_WEIGHT[row["set"]] * (1 if row["certain"] else UNCERTAIN_WEIGHT) for row in rows])


def figures(rows, answers):
    """By set: category right, category and factor right, exactly as labelled; and the same of the best constant answers."""
    out = {}
    for name in ("agent_runs", "who_and_when"):
        these = [(row, answer) for row, answer in zip(rows, answers) if row["set"] == name and row["certain"]]
        category = lambda row: {label.split("/")[0] for label in row["right"]}
        share = lambda test: sum(test(row, answer) for row, answer in these) / len(these)
        every = {label for row, _ in these for label in row["right"]}
        out[name] = {
            "runs": len(these),
            "category": share(lambda row, answer: answer.split("/")[0] in category(row)),
            "category_and_factor": share(lambda row, answer: answer in row["right"]),
            "strict": share(lambda row, answer: answer == row["right"][0]),
            "constant_category": max(share(lambda row, _: c in category(row)) for c in {label.split("/")[0] for label in every}),
            "constant_category_and_factor": max(share(lambda row, _: label in row["right"]) for label in every),
        }
    return out


def mean_figures(all_figures):
    return {name: {k: round(float(np.mean([f[name][k] for f in all_figures])), 3) for k in all_figures[0][name]} for name in all_figures[0]}


def logistic(samples, expected=None, pull=1.0):
    """Weights of facts, fitted to (facts, right) pairs and pulled towards `expected` with precision `pull`. A fact that is expected to lower
    the confidence never raises it, even if these traces suggest so."""
    expected = expected or {"probability": 1.0}
    names = sorted(expected)
    x = np.array([[facts.get(name, 0.0) for name in names] + [1.0] for facts, _ in samples])
    y = np.array([float(right) for _, right in samples])
    mean = np.array([expected.get(name, 0.0) for name in names] + [0.0])
    strength = np.array([pull] * len(names) + [0.01])

    def loss(w):
        z = x @ w
        p = 1 / (1 + np.exp(-np.clip(z, -30, 30)))
        value = np.logaddexp(0, z).sum() - (y * z).sum() + (strength * (w - mean) ** 2).sum() / 2
        return value, x.T @ (p - y) + strength * (w - mean)

    bounds = [(None, 0) if m < 0 else (None, None) for m in mean]
    found = minimize(loss, mean, jac=True, method="L-BFGS-B", bounds=bounds).x
    predict = lambda facts: float(1 / (1 + np.exp(-(found[-1] + sum(w * facts.get(name, 0.0) for name, w in zip(names, found))))))
    rounded = {name: round(float(w), 3) for name, w in zip(names, found) if abs(w) > 0.0005}
    return {"bias": round(float(found[-1]), 3), "weights": rounded}, predict


def calibration_figures(pairs):
    good, bad = [c for c, r in pairs if r], [c for c, r in pairs if not r]
    bins = collections.defaultdict(list)
    for c, r in pairs:
        bins[min(9, int(c * 10))].append((c, r))
    sure = [r for c, r in pairs if c >= 0.8]
    return {
        "answers": len(pairs),
        "right": round(float(np.mean([r for _, r in pairs])), 3),
        "gap": round(float(np.mean(good) - np.mean(bad)), 3) if good and bad else None,
        "ece": round(sum(abs(sum(c for c, _ in b) - sum(r for _, r in b)) for b in bins.values()) / len(pairs), 3),
        "right_at_0.8": round(float(np.mean(sure)), 3) if sure else None,
        "answers_at_0.8": len(sure),
    }


def cross_validated_calibration(samples, **options):
    """Confidences of verdicts, each from the fold that held it out, with whether they were right."""
    order = list(range(len(samples)))
    random.Random(1).shuffle(order)
    pairs = []
    for fold in range(FOLDS):
        out = set(order[fold::FOLDS])
        _, predict = logistic([s for i, s in enumerate(samples) if i not in out], **options)
        pairs += [(min(0.99, max(0.02, predict(samples[i][0]))), samples[i][1]) for i in out]
    return pairs


def add_failures(ways, provenance, labelled):
    """The calibration of rules, catalogue and text model. Half of the weight have first looks, at messages of software that nobody had seen, and half
    labelled traces of instrumentations, on which rules were written: users have both kinds."""
    unseen = [json.loads(line) for line in open(os.path.join(ROOT, "data", "fit", "unseen.jsonl"))]
    for way in FAILURE_WAYS:
        first = [(row["facts"], row["right"]) for row in unseen if row["way"] == way]
        known = [(row["facts"], row["answer"] in row["right"]) for row in labelled if row["way"] == way and row["certain"]]
        samples = first * max(1, round(len(known) / len(first))) + known
        ways[way], _ = logistic(samples, **CALIBRATION[way])
        # These contain few conversations. Successful ones with a measured outcome show how little an inferred error says there.
        weights = ways[way]["weights"]
        weights["conversation"] = ANY_FAILURE["conversation"]
        # They contain few damaged traces, too.
        weights.update({name: min(weights.get(name, 0), ANY_FAILURE[name]) for name in ("orphans", "unfinished", "unstructured")})
        _, predict = logistic(samples, **CALIBRATION[way])
        figures = calibration_figures([(min(0.99, max(0.02, predict(facts))), right) for facts, right in first])
        print("confidence of", way, "on first looks", figures)
        provenance[way] = {**figures, "on": "data/fit/unseen.jsonl"}


def calibrate():
    """Refits only the confidence of failures, and keeps the rest of calibration.json."""
    known = json.load(open(os.path.join(EMBEDDED, "calibration.json")))
    labelled = [row for name in FAILURE_SETS for row in explanations(name)]
    add_failures(known["ways"], known["provenance"]["cross_validated"], labelled)
    write("calibration.json", known)


def main():
    if "--calibrate" in sys.argv:
        return calibrate()
    rules = [r for r in tomllib.load(open(os.path.join(EMBEDDED, "rules", "dialogue.toml"), "rb"))["rule"]]
    rows = [row for name in SETS for row in explanations(name)]
    runs = [row for row in rows if row["set"] in SET_WEIGHT]
    model = Model(rules)
    if "--domains" in sys.argv:
        import domains

        domains.report(model, rows, runs, trouble_signals())
        return

    shuffles = list(cross_validate(model, runs))
    answers = [list(model.answers(p, runs)) for p in shuffles]
    by_set = mean_figures([figures(runs, [label for _, label, _ in a]) for a in answers])
    for name, of in by_set.items():
        print(name, of)

    matrix = model.fit(model.features(runs), model.targets(runs), weights_of(runs))
    ways = {"dialogue": {"bias": 0.0, "weights": {"probability": 1.0}}}
    # One sample per trace and shuffle, which averages over the shuffles. The successful runs were in no fold, so each counts as often.
    suspected = [({"probability": float(logit(probability))}, label in run["right"])
                 for shuffle in answers for (way, label, probability), run in zip(shuffle, runs) if run["certain"] and way == "suspicion"]
    successful = with_success(rows)
    suspected += SHUFFLES * [({"probability": float(logit(probability))}, False)
                             for way, _, probability in model.answers(model.probabilities(matrix, model.features(successful)), successful) if way == "suspicion"]
    # Runs of a kind that was left out count as well: users have other kinds of runs.
    suspected += [({"probability": float(logit(probability))}, label in run["right"])
                  for run, (way, label, probability) in left_out_domains(model, runs) if run["certain"] and way == "suspicion"] * SHUFFLES
    ways["suspicion"], in_suspicion = logistic(suspected)
    pairs = [(min(SUSPICION_CONFIDENCE_MAX, in_suspicion(facts)), right) for facts, right in suspected]
    print("confidence of suspicions", calibration_figures(pairs))
    provenance_calibration = {"suspicion": calibration_figures(pairs)}
    by_dialogue = ("dialogue", "suspicion")
    steps = [row for row in rows if row["set"] in ("captures", "datadog_export", "healthy_runs") or (row["way"] not in by_dialogue and row["certain"])]
    # Of a run that failed for an unknown reason, only "no failure found" is known to be wrong.
    steps += [row for row in rows if row["set"] == "outcomes" and not row["certain"] and row["way"] == "nothing" and row["answer"] == NO_FAILURE]
    samples = [(row["facts"], row["answer"] in row["right"]) for row in steps if row["way"] == "nothing"]
    ways["nothing"], _ = logistic(samples, **CALIBRATION["nothing"])
    pairs = cross_validated_calibration(samples, **CALIBRATION["nothing"])
    print("confidence of nothing", calibration_figures(pairs))
    provenance_calibration["nothing"] = calibration_figures(pairs)
    add_failures(ways, provenance_calibration, [row for name in FAILURE_SETS for row in explanations(name)])

    if "--check" in sys.argv:
        return
    labels = {}
    for number, label in enumerate(model.labels):
        weights = {s: round(float(w), 3) for s, w in zip(model.signals, matrix[number]) if abs(w) > 0.005}
        labels[label] = {"bias": round(float(matrix[number, -1]), 3), "weights": weights}
    write("weights.json", {
        "provenance": {
            "fitted_by": "data/fit/fit.py",
            "on": {name: sum(row["set"] == name for row in runs) for name in SET_WEIGHT},
            "cross_validated": by_set,
        },
        "category_first": CATEGORY_FIRST,
        "labels": labels,
    })
    fitted_elsewhere = json.load(open(os.path.join(EMBEDDED, "calibration.json")))["ways"]
    write("calibration.json", {
        "provenance": {
            "fitted_by": "data/fit/fit.py",
            "on": {name: sum(row["set"] == name for row in rows) for name in SETS},
            "cross_validated": provenance_calibration,
        },
        "ways": fitted_elsewhere | ways,
    })


def write(name, value):
    with open(os.path.join(EMBEDDED, name), "w") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    sys.modules["fit"] = sys.modules["__main__"]
    main()
