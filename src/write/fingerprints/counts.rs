//! Counts the patterns of one run by fingerprint, and the healthy traces of each service.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::difference::separation;
use super::values::{TraceValues, ValueCounts, ValueIds, Values};
use super::wording::sentence;
use crate::limits::{COMPARED_SERVICES_MAX, DIFFERENCES_MAX, FINGERPRINTS_MAX, USERS_OF_FINGERPRINT_MAX, USERS_OF_RUN_MAX};
use crate::model::{Difference, Dimension, FingerprintRow, Label, PatternRow, key_hash, last_segment};
use crate::statistics::Share;

/// What is counted of one pattern.
#[derive(Debug)]
pub(in crate::write) struct CountedPattern<'a> {
    pub(super) fingerprint: &'a str,
    pub(super) category: &'a str,
    pub(super) factor: &'a str,
    pub(super) title: &'a str,
    pub(super) trace_id: &'a str,
    pub(super) service: Option<&'a str>,
    /// The project of the tracing tool.
    pub(super) project: Option<&'a str>,
    pub(super) failed_span_name: Option<&'a str>,
    pub(super) error_type: Option<&'a str>,
    pub(super) tool_name: Option<&'a str>,
    pub(super) user_token: Option<&'a str>,
    /// Microseconds since 1970.
    pub(super) started_at: Option<i64>,
    pub(super) values: TraceValues<'a>,
}

impl<'a> CountedPattern<'a> {
    fn of(row: &'a PatternRow) -> Self {
        let (step, profile) = (&row.step, &row.profile);
        let values = Dimension::ALL.map(|dimension| match dimension {
            Dimension::ServiceVersion => Values::optional(profile.service_version.as_deref()),
            Dimension::VcsRevision => Values::optional(profile.vcs_revision.as_deref()),
            Dimension::PromptVersion => Values::optional(profile.prompt_version.as_deref()),
            Dimension::Model => Values::optional_set(row.usage.models.as_deref()),
            Dimension::Tool => Values::optional_set(row.usage.tools.as_deref()),
            Dimension::Region => Values::optional(profile.region.as_deref()),
            Dimension::Environment => Values::optional(row.environment.as_deref()),
            Dimension::Instance => Values::optional(profile.service_instance_id.as_deref()),
        });
        Self {
            fingerprint: &row.fingerprint,
            category: &row.category,
            factor: &row.contributing_factor,
            title: &row.title,
            trace_id: &row.trace_id,
            service: row.service.as_deref(),
            project: profile.project.as_deref(),
            failed_span_name: step.failed_span_name.as_deref(),
            error_type: step.error_type.as_deref(),
            tool_name: step.tool_name.as_deref(),
            user_token: profile.user_token.as_deref(),
            started_at: row.trace_started_at,
            values,
        }
    }

    fn is_healthy(&self) -> bool {
        let healthy = Label::NO_FAILURE_FOUND;
        self.category == healthy.category() && self.factor == healthy.factor()
    }

    /// The traces with which this one is compared: those of its service, or else of its project. Traces without either may be of different
    /// applications.
    fn group(&self) -> Option<Group> {
        let group = |name: &str, is_service| Group { name: name.into(), is_service };
        self.service.map(|name| group(name, true)).or_else(|| self.project.map(|name| group(name, false)))
    }
}

/// Traces that are compared with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    /// Of the service or the project.
    name: Box<str>,
    is_service: bool,
}

/// The counts of one run. Bounded by limits.
#[derive(Debug, Default)]
pub(in crate::write) struct RunFingerprints {
    fingerprints: HashMap<Box<str>, FingerprintCounts>,
    /// The healthy traces of each group.
    healthy: HashMap<Group, HealthyCounts>,
    ids: ValueIds,
    /// Hashes of fingerprints with user tokens.
    users: HashSet<u64>,
    /// Traces with a fingerprint that is not counted, because there are too many.
    traces_left_out: u64,
}

/// The traces of one fingerprint.
#[derive(Debug, Default)]
struct FingerprintCounts {
    category: Box<str>,
    factor: Box<str>,
    service: Option<Box<str>>,
    /// `None` if there are several.
    group: Option<Group>,
    example: Example,
    traces: u64,
    /// Users with a token.
    users: u64,
    first_seen_at: Option<i64>,
    last_seen_at: Option<i64>,
    /// Whether a trace has no time.
    has_untimed: bool,
    values: ValueCounts,
}

/// The latest trace of a fingerprint, so that the same traces give the same row in whichever order they arrive.
#[derive(Debug, Default)]
struct Example {
    started_at: Option<i64>,
    trace_id: Box<str>,
    title: Box<str>,
    failed_span_name: Option<Box<str>>,
    error_type: Option<Box<str>>,
    tool_name: Option<Box<str>>,
}

impl Example {
    fn of(pattern: &CountedPattern<'_>) -> Self {
        let text = |value: Option<&str>| value.map(Into::into);
        Self {
            started_at: pattern.started_at,
            trace_id: pattern.trace_id.into(),
            title: pattern.title.into(),
            failed_span_name: text(pattern.failed_span_name),
            error_type: text(pattern.error_type),
            tool_name: text(pattern.tool_name),
        }
    }

    fn is_before(&self, pattern: &CountedPattern<'_>) -> bool {
        (self.started_at, self.trace_id.as_ref()) < (pattern.started_at, pattern.trace_id)
    }
}

/// The healthy traces of one group.
#[derive(Debug, Default)]
struct HealthyCounts {
    traces: u64,
    values: ValueCounts,
}

/// What the run as a whole has to tell about its fingerprints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FingerprintReport {
    /// The strongest difference of each fingerprint that has one, of the most frequent fingerprint first.
    pub differences: Vec<ReportedDifference>,
    /// Traces whose fingerprint is not in the table, because the run has too many.
    pub traces_left_out: u64,
}

/// A difference between failed and healthy traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedDifference {
    /// `category/contributing_factor` of the failed traces.
    pub label: String,
    /// How many there are.
    pub traces: u64,
    /// The difference in words.
    pub sentence: String,
}

impl RunFingerprints {
    /// Counts a pattern of this run.
    pub(in crate::write) fn add(&mut self, row: &PatternRow) {
        self.add_pattern(&CountedPattern::of(row));
    }

    /// Counts a pattern.
    pub(in crate::write) fn add_pattern(&mut self, pattern: &CountedPattern<'_>) {
        let is_healthy = pattern.is_healthy();
        if is_healthy {
            self.add_healthy(pattern);
        }
        if !self.fingerprints.contains_key(pattern.fingerprint) {
            if self.fingerprints.len() >= FINGERPRINTS_MAX {
                self.traces_left_out += 1;
                return;
            }
            self.fingerprints.insert(pattern.fingerprint.into(), FingerprintCounts::new(pattern));
        }
        let Some(counts) = self.fingerprints.get_mut(pattern.fingerprint) else { return };
        counts.traces += 1;
        if counts.group != pattern.group() {
            counts.group = None;
        }
        if counts.example.is_before(pattern) {
            counts.example = Example::of(pattern);
        }
        counts.first_seen_at = counts.first_seen_at.into_iter().chain(pattern.started_at).min();
        counts.last_seen_at = counts.last_seen_at.into_iter().chain(pattern.started_at).max();
        counts.has_untimed |= pattern.started_at.is_none();
        if let Some(user) = pattern.user_token
            && counts.users < USERS_OF_FINGERPRINT_MAX
            && self.users.len() < USERS_OF_RUN_MAX
        {
            counts.users += u64::from(self.users.insert(user_key(pattern.fingerprint, user)));
        }
        if !is_healthy {
            counts.values.add(&pattern.values, &mut self.ids);
        }
    }

    fn add_healthy(&mut self, pattern: &CountedPattern<'_>) {
        let Some(group) = pattern.group() else { return };
        // Failed traces of further services are compared with nothing.
        if !self.healthy.contains_key(&group) && self.healthy.len() >= COMPARED_SERVICES_MAX {
            return;
        }
        let counts = self.healthy.entry(group).or_default();
        counts.traces += 1;
        counts.values.add(&pattern.values, &mut self.ids);
    }

    /// Takes out a pattern that was counted and is not stored, because the table has a fuller one of the same trace. Its times, its user and its
    /// title stay.
    pub(in crate::write) fn remove_pattern(&mut self, pattern: &CountedPattern<'_>) {
        if pattern.is_healthy()
            && let Some(counts) = pattern.group().and_then(|group| self.healthy.get_mut(&group))
        {
            counts.traces = counts.traces.saturating_sub(1);
            counts.values.remove(&pattern.values, &self.ids);
        }
        let Some(counts) = self.fingerprints.get_mut(pattern.fingerprint) else { return };
        counts.traces = counts.traces.saturating_sub(1);
        counts.values.remove(&pattern.values, &self.ids);
        if counts.traces == 0 {
            self.fingerprints.remove(pattern.fingerprint);
        }
    }

    /// The rows of the run, and what is to be told about them. `started_at` is the start of the run in microseconds since 1970; it is also the
    /// time of traces that have none.
    pub(in crate::write) fn finish(self, run_id: &str, started_at: i64) -> (Vec<FingerprintRow>, FingerprintReport) {
        let values = self.ids.by_id();
        let mut services: HashMap<(&str, &str, String, &str), u64> = HashMap::new();
        for counts in self.fingerprints.values().filter(|counts| counts.service.is_some()) {
            *services.entry(counts.key_without_service()).or_default() += 1;
        }
        let mut rows: Vec<FingerprintRow> = Vec::with_capacity(self.fingerprints.len());
        for (fingerprint, counts) in &self.fingerprints {
            let healthy = counts.group.as_ref().and_then(|group| self.healthy.get(group));
            let untimed = counts.has_untimed.then_some(started_at);
            let first = counts.first_seen_at.into_iter().chain(untimed).min().unwrap_or(started_at);
            let last = counts.last_seen_at.into_iter().chain(untimed).max().unwrap_or(started_at);
            rows.push(FingerprintRow {
                fingerprint: fingerprint.to_string(),
                category: counts.category.to_string(),
                contributing_factor: counts.factor.to_string(),
                title: counts.example.title.to_string(),
                example_trace_id: counts.example.trace_id.to_string(),
                service: counts.service.as_deref().map(str::to_owned),
                failed_span_name: counts.example.failed_span_name.as_deref().map(str::to_owned),
                error_type: counts.example.error_type.as_deref().map(str::to_owned),
                traces: counts.traces,
                users: (counts.users > 0).then_some(counts.users),
                services: services.get(&counts.key_without_service()).copied().unwrap_or(0),
                healthy_traces: healthy.map_or(0, |healthy| healthy.traces),
                differences: healthy.map(|healthy| counts.differences(healthy, &values)).unwrap_or_default(),
                run_id: run_id.to_owned(),
                run_started_at: started_at,
                run_first_seen_at: first,
                run_last_seen_at: last,
                first_seen_at: first,
                last_seen_at: last,
                first_run_id: run_id.to_owned(),
                runs_seen: 1,
            });
        }
        rows.sort_by(|left, right| (Reverse(left.traces), &left.fingerprint).cmp(&(Reverse(right.traces), &right.fingerprint)));
        let differences = rows.iter().filter_map(|row| {
            let sentence = row.differences.first()?.sentence.clone();
            Some(ReportedDifference { label: format!("{}/{}", row.category, row.contributing_factor), traces: row.traces, sentence })
        });
        let report = FingerprintReport { differences: differences.collect(), traces_left_out: self.traces_left_out };
        (rows, report)
    }
}

impl FingerprintCounts {
    fn new(pattern: &CountedPattern<'_>) -> Self {
        Self {
            category: pattern.category.into(),
            factor: pattern.factor.into(),
            service: pattern.service.map(Into::into),
            group: pattern.group(),
            example: Example::of(pattern),
            ..Self::default()
        }
    }

    /// What failed, without the service in which it did.
    fn key_without_service(&self) -> (&str, &str, String, &str) {
        // As in the fingerprint itself: `step 3` and `step 4` are the same step of different runs.
        let span = self.example.failed_span_name.iter().flat_map(|name| name.chars());
        let span: String = span.map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        (&self.category, &self.factor, span, self.example.error_type.as_deref().map(last_segment).unwrap_or_default())
    }

    /// What sets these traces apart from the healthy ones of their service, the clearest difference first. That they called the tool that failed
    /// comes last: it is no news.
    fn differences(&self, healthy: &HealthyCounts, values: &[&str]) -> Vec<Difference> {
        let mut found: Vec<(bool, f64, Difference)> = Vec::new();
        for ((dimension, failed), of_service) in Dimension::ALL.into_iter().zip(&self.values.dimensions).zip(&healthy.values.dimensions) {
            for (id, _) in &failed.traces {
                let (Some(with), Some(healthy_with)) = (failed.traces_with(*id), of_service.traces_with(*id)) else { continue };
                let Some(value) = usize::try_from(*id).ok().and_then(|id| values.get(id)) else { continue };
                let (share, of_healthy) = (Share { with, of: self.traces }, Share { with: healthy_with, of: of_service.known });
                let is_failed_tool = dimension == Dimension::Tool && self.example.tool_name.as_deref() == Some(*value);
                // It tells something only if the tool fails for most who call it.
                if is_failed_tool && healthy_with > with {
                    continue;
                }
                let Some(probability) = separation(share, of_healthy, healthy.traces) else { continue };
                let difference = Difference {
                    dimension,
                    value: (*value).to_owned(),
                    traces: with,
                    healthy_traces: healthy_with,
                    healthy_traces_compared: of_healthy.of,
                    sentence: sentence(dimension, value, share, of_healthy, healthy.traces, self.service.as_deref()),
                };
                found.push((is_failed_tool, probability, difference));
            }
        }
        found.sort_by(|(left_tool, left, of_left), (right_tool, right, of_right)| {
            let by_value = || (of_left.dimension, &of_left.value).cmp(&(of_right.dimension, &of_right.value));
            left_tool.cmp(right_tool).then(left.total_cmp(right)).then_with(by_value)
        });
        found.into_iter().take(DIFFERENCES_MAX).map(|(_, _, difference)| difference).collect()
    }
}

/// A hash of a fingerprint with a user token.
fn user_key(fingerprint: &str, user: &str) -> u64 {
    // Any half of the hash is evenly distributed.
    u64::try_from(key_hash(&format!("{fingerprint}\n{user}")) & u128::from(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
