//! Patterns in staged files, as they are counted: those that were recovered from an interrupted run, and those that are not stored because the
//! table has fuller ones.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use deltalake_core::DeltaResult;
use futures::StreamExt;

use super::counts::CountedPattern;
use super::values::Values;
use crate::model::Dimension;
use crate::store::Object;
use crate::write::keys::{project, text_column};

/// The columns that are counted. The models and tools of a trace are not stored, so they are unknown.
const COLUMNS: [&str; 19] = [
    "fingerprint",
    "category",
    "contributing_factor",
    "title",
    "trace_id",
    "service",
    "environment",
    "trace_started_at",
    "failed_span_name",
    "error_type",
    "tool_name",
    "service_version",
    "service_instance_id",
    "vcs_revision",
    "prompt_version",
    "region",
    "user_token",
    "project",
    "run_id",
];

/// Calls `visit` with the number of each row, its pattern and the run that made it, in order.
pub(in crate::write) async fn for_each_pattern(
    object: &Arc<Object>,
    mut visit: impl FnMut(usize, &CountedPattern<'_>, &str),
) -> DeltaResult<()> {
    let mut number = 0;
    let mut batches = project(object, &COLUMNS).await?;
    while let Some(batch) = batches.next().await {
        let columns = Columns::of(&batch?)?;
        for row in 0..columns.fingerprint.len() {
            visit(number, &columns.pattern(row), columns.batch.text("run_id", row).unwrap_or_default());
            number += 1;
        }
    }
    Ok(())
}

struct Columns {
    fingerprint: StringArray,
    category: StringArray,
    factor: StringArray,
    title: StringArray,
    trace_id: StringArray,
    batch: OptionalColumns,
}

/// Columns that files of older versions may lack.
struct OptionalColumns {
    texts: Vec<(&'static str, StringArray)>,
    started_at: Option<TimestampMicrosecondArray>,
}

impl OptionalColumns {
    fn of(batch: &RecordBatch) -> Self {
        let texts = COLUMNS.into_iter().filter_map(|name| Some((name, text_column(batch, name).ok()?))).collect();
        let started_at = batch.column_by_name("trace_started_at");
        Self { texts, started_at: started_at.and_then(|column| column.as_any().downcast_ref().cloned()) }
    }

    fn text(&self, name: &str, row: usize) -> Option<&str> {
        let (_, column) = self.texts.iter().find(|(known, _)| *known == name)?;
        column.is_valid(row).then(|| column.value(row))
    }
}

impl Columns {
    fn of(batch: &RecordBatch) -> DeltaResult<Self> {
        Ok(Self {
            fingerprint: text_column(batch, "fingerprint")?,
            category: text_column(batch, "category")?,
            factor: text_column(batch, "contributing_factor")?,
            title: text_column(batch, "title")?,
            trace_id: text_column(batch, "trace_id")?,
            batch: OptionalColumns::of(batch),
        })
    }

    fn pattern(&self, row: usize) -> CountedPattern<'_> {
        let text = |name: &str| self.batch.text(name, row);
        CountedPattern {
            fingerprint: self.fingerprint.value(row),
            category: self.category.value(row),
            factor: self.factor.value(row),
            title: self.title.value(row),
            trace_id: self.trace_id.value(row),
            service: text("service"),
            project: text("project"),
            failed_span_name: text("failed_span_name"),
            error_type: text("error_type"),
            tool_name: text("tool_name"),
            user_token: text("user_token"),
            started_at: self.batch.started_at.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row)),
            values: Dimension::ALL.map(|dimension| match dimension {
                Dimension::ServiceVersion => Values::optional(text("service_version")),
                Dimension::VcsRevision => Values::optional(text("vcs_revision")),
                Dimension::PromptVersion => Values::optional(text("prompt_version")),
                Dimension::Model | Dimension::Tool => Values::Unknown,
                Dimension::Region => Values::optional(text("region")),
                Dimension::Environment => Values::optional(text("environment")),
                Dimension::Instance => Values::optional(text("service_instance_id")),
            }),
        }
    }
}
