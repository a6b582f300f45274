use super::*;
use crate::model::{Draft, TraceProfile, TraceUsage};

/// A failed pattern of the service `checkout`.
fn failed(values: TraceValues<'_>) -> CountedPattern<'_> {
    CountedPattern {
        fingerprint: "f1",
        category: "rate_limit",
        factor: "provider_quota",
        title: "Rate limited",
        trace_id: "t1",
        service: Some("checkout"),
        project: None,
        failed_span_name: Some("chat 1"),
        error_type: Some("openai.RateLimitError"),
        tool_name: None,
        user_token: None,
        started_at: Some(1_000),
        values,
    }
}

fn healthy(values: TraceValues<'_>) -> CountedPattern<'_> {
    let label = Label::NO_FAILURE_FOUND;
    CountedPattern {
        fingerprint: "f0",
        category: label.category(),
        factor: label.factor(),
        title: "No failure found",
        trace_id: "t0",
        failed_span_name: None,
        error_type: None,
        ..failed(values)
    }
}

/// Values of which one dimension is known.
fn only(dimension: Dimension, values: Values<'_>) -> TraceValues<'_> {
    Dimension::ALL.map(|other| if other == dimension { values } else { Values::Unknown })
}

fn version(value: &str) -> TraceValues<'_> {
    only(Dimension::ServiceVersion, Values::One(value))
}

fn rows(counts: RunFingerprints) -> Vec<FingerprintRow> {
    counts.finish("run", 5_000).0
}

fn row(counts: RunFingerprints, fingerprint: &str) -> FingerprintRow {
    rows(counts).into_iter().find(|row| row.fingerprint == fingerprint).expect("a row")
}

#[test]
fn the_version_that_only_failed_traces_have_is_told() {
    let mut counts = RunFingerprints::default();
    (0..37).for_each(|_| counts.add_pattern(&failed(version("1.4.2"))));
    (0..210).for_each(|_| counts.add_pattern(&healthy(version("1.4.1"))));
    // Another service does not matter.
    (0..99).for_each(|_| counts.add_pattern(&CountedPattern { service: Some("search"), fingerprint: "f9", ..healthy(version("1.4.2")) }));
    let (rows, report) = counts.finish("run", 5_000);
    let found = rows.iter().find(|row| row.fingerprint == "f1").unwrap();
    let sentence = "All 37 are on version 1.4.2; none of the 210 healthy traces of checkout is.";
    let expected = Difference {
        dimension: Dimension::ServiceVersion,
        value: "1.4.2".into(),
        traces: 37,
        healthy_traces: 0,
        healthy_traces_compared: 210,
        sentence: sentence.into(),
    };
    assert_eq!(found.differences, [expected]);
    assert_eq!((found.traces, found.healthy_traces, found.services), (37, 210, 1));
    assert!(rows.iter().filter(|row| row.fingerprint != "f1").all(|row| row.differences.is_empty()), "healthy traces differ from nothing");
    let told: Vec<&str> = report.differences.iter().map(|difference| difference.sentence.as_str()).collect();
    assert_eq!((told, report.differences[0].label.as_str()), (vec![sentence], "rate_limit/provider_quota"));
}

#[test]
fn traces_without_a_service_are_compared_within_their_project_only() {
    let differences = |failed_in, healthy_in| {
        let mut counts = RunFingerprints::default();
        let of = |project, pattern| CountedPattern { service: None, project, ..pattern };
        (0..37).for_each(|_| counts.add_pattern(&of(failed_in, failed(version("1.4.2")))));
        (0..210).for_each(|_| counts.add_pattern(&of(healthy_in, healthy(version("1.4.1")))));
        let found = row(counts, "f1");
        (found.healthy_traces, found.differences.len())
    };
    assert_eq!(differences(Some("shop"), Some("shop")), (210, 1));
    assert_eq!(differences(Some("shop"), Some("search")), (0, 0));
    assert_eq!(differences(None, None), (0, 0));
}

#[test]
fn traces_of_several_projects_are_compared_with_nothing() {
    let mut counts = RunFingerprints::default();
    for project in ["shop", "search"] {
        let of = |pattern| CountedPattern { service: None, project: Some(project), ..pattern };
        (0..37).for_each(|_| counts.add_pattern(&of(failed(version("1.4.2")))));
        (0..210).for_each(|_| counts.add_pattern(&of(healthy(version("1.4.1")))));
    }
    assert_eq!(row(counts, "f1").healthy_traces, 0);
}

#[test]
fn every_trace_is_in_one_row_and_times_users_and_services_are_counted() {
    let mut counts = RunFingerprints::default();
    for (number, started_at) in [Some(3_000), Some(1_000), Some(2_000)].into_iter().enumerate() {
        let user = format!("<USER:{}>", number % 2);
        counts.add_pattern(&CountedPattern { started_at, user_token: Some(&user), ..failed(version("1")) });
    }
    let elsewhere = CountedPattern { fingerprint: "f2", service: Some("search"), failed_span_name: Some("chat 7"), ..failed(version("1")) };
    counts.add_pattern(&CountedPattern { started_at: None, error_type: Some("RateLimitError"), ..elsewhere });
    counts.add_pattern(&healthy(version("1")));
    let found = rows(counts);
    assert_eq!(found.iter().map(|row| row.traces).sum::<u64>(), 5);
    assert_eq!(found.iter().map(|row| row.fingerprint.as_str()).collect::<Vec<_>>(), ["f1", "f0", "f2"], "the most frequent first");
    let [first, healthy, untimed] = found.try_into().unwrap();
    assert_eq!((first.first_seen_at, first.last_seen_at, first.users, first.services), (1_000, 3_000, Some(2), 2));
    assert_eq!((untimed.first_seen_at, untimed.last_seen_at, untimed.users), (5_000, 5_000, None), "the time of the run");
    assert_eq!((healthy.healthy_traces, healthy.services, first.first_run_id.as_str(), first.runs_seen), (1, 1, "run", 1));
}

#[test]
fn models_and_tools_are_compared_as_sets() {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (mini, both, search) = (texts(&["mini"]), texts(&["mini", "large"]), texts(&["search", "refund"]));
    let mut counts = RunFingerprints::default();
    let used = |models, tools| {
        Dimension::ALL.map(|dimension| match dimension {
            Dimension::Model => Values::Set(models),
            Dimension::Tool => Values::Set(tools),
            _ => Values::Unknown,
        })
    };
    // They failed at the first call of a pipeline that calls both models.
    (0..20).for_each(|_| counts.add_pattern(&failed(used(&mini, &search))));
    (0..50).for_each(|_| counts.add_pattern(&healthy(used(&both, &[]))));
    let found = row(counts, "f1");
    let sentences: Vec<&str> = found.differences.iter().map(|difference| difference.sentence.as_str()).collect();
    assert_eq!(
        sentences,
        [
            "All 20 called the tool refund; none of the 50 healthy traces of checkout did.",
            "All 20 called the tool search; none of the 50 healthy traces of checkout did."
        ]
    );
}

#[test]
fn that_all_called_the_tool_that_failed_is_told_only_if_it_fails_for_most() {
    let tool = ["refund".to_owned()];
    for (healthy_callers, told) in [(0, true), (15, true), (60, false)] {
        let mut counts = RunFingerprints::default();
        let values = only(Dimension::Tool, Values::Set(&tool));
        (0..20).for_each(|_| counts.add_pattern(&CountedPattern { tool_name: Some("refund"), ..failed(values) }));
        (0..200).for_each(|number| {
            let values = if number < healthy_callers { values } else { only(Dimension::Tool, Values::Set(&[])) };
            counts.add_pattern(&healthy(values));
        });
        assert_eq!(!row(counts, "f1").differences.is_empty(), told, "{healthy_callers} healthy traces call it");
    }
}

#[test]
fn nothing_is_told_of_dimensions_that_healthy_traces_do_not_record() {
    let mut counts = RunFingerprints::default();
    (0..37).for_each(|_| counts.add_pattern(&failed(version("1.4.2"))));
    (0..210)
        .for_each(|number| counts.add_pattern(&healthy(if number < 100 { version("1.4.1") } else { [Values::Unknown; Dimension::COUNT] })));
    assert!(row(counts, "f1").differences.is_empty());
}

#[test]
fn removed_patterns_do_not_count() {
    let mut counts = RunFingerprints::default();
    let late = CountedPattern { fingerprint: "late", ..healthy(version("1.4.2")) };
    (0..37).for_each(|_| counts.add_pattern(&failed(version("1.4.2"))));
    (0..210).for_each(|_| counts.add_pattern(&healthy(version("1.4.1"))));
    (0..37).for_each(|_| counts.add_pattern(&late));
    (0..37).for_each(|_| counts.remove_pattern(&late));
    counts.remove_pattern(&failed(version("1.4.2")));
    let found = rows(counts);
    assert!(found.iter().all(|row| row.fingerprint != "late"));
    let failed = found.iter().find(|row| row.fingerprint == "f1").unwrap();
    assert_eq!((failed.traces, failed.healthy_traces), (36, 210));
    assert_eq!(failed.differences[0].sentence, "All 36 are on version 1.4.2; none of the 210 healthy traces of checkout is.");
}

#[test]
fn fingerprints_services_and_users_are_bounded_and_what_is_left_out_is_counted() {
    let mut counts = RunFingerprints::default();
    for number in 0..FINGERPRINTS_MAX + 25 {
        let name = format!("f-{number}");
        counts.add_pattern(&CountedPattern { fingerprint: &name, ..failed(version("1")) });
        counts.add_healthy(&CountedPattern { service: Some(&name), ..healthy(version("1")) });
    }
    assert_eq!(counts.healthy.len(), COMPARED_SERVICES_MAX);
    for number in 0..USERS_OF_FINGERPRINT_MAX + 10 {
        let user = number.to_string();
        counts.add_pattern(&CountedPattern { fingerprint: "f-1", user_token: Some(&user), ..failed(version("1")) });
    }
    let (rows, report) = counts.finish("run", 5_000);
    assert_eq!((rows.len(), report.traces_left_out), (FINGERPRINTS_MAX, 25));
    assert_eq!(rows.iter().map(|row| row.traces).sum::<u64>(), FINGERPRINTS_MAX as u64 + USERS_OF_FINGERPRINT_MAX + 10);
    assert_eq!(rows[0].users, Some(USERS_OF_FINGERPRINT_MAX));
}

#[tokio::test]
async fn the_columns_of_a_pattern_are_compared() {
    use futures::StreamExt;
    let profile = TraceProfile {
        service_version: Some("1.4.2".into()),
        vcs_revision: Some("abc".into()),
        prompt_version: Some("v7".into()),
        region: Some("eu".into()),
        service_instance_id: Some("pod-1".into()),
        project: Some("shop".into()),
        ..TraceProfile::default()
    };
    let usage = TraceUsage { models: Some(vec!["m".into()]), tools: Some(vec!["t".into()]) };
    let draft = Draft { profile, usage, environment: Some("staging".into()), ..Draft::sample("It failed.") };
    let schema = crate::validate::PatternSchema::new("run").unwrap();
    let row =
        crate::validate::patterns(futures::stream::iter([Ok(draft.into())]).boxed(), schema).next().await.unwrap().unwrap().into_row();
    let mut counts = RunFingerprints::default();
    counts.add(&row);
    let service = counts.healthy.values().next().unwrap();
    assert!(service.values.dimensions.iter().all(|dimension| dimension.known == 1 && dimension.traces.len() == 1));
    assert_eq!(counts.ids.by_id(), ["1.4.2", "abc", "v7", "m", "t", "eu", "staging", "pod-1"]);
}
