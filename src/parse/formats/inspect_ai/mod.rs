//! Logs of Inspect AI: `.json` logs, and the entries of `.eval` logs, which are zip archives.
//!
//! Specification: <https://inspect.aisi.org.uk/eval-logs.html> and the classes `EvalLog`, `EvalSample` and `Event` of
//! <https://github.com/UKGovernmentBEIS/inspect_ai>; checked against logs of 0.3.50 and 0.3.285.
//!
//! ```json
//! {"version": 2, "status": "success", "eval": {"eval_id": "6QSs…", "task": "support_eval", "model": "openai/gpt-4o-mini", "created": "2026-11-25T19:03:47+00:00"},
//!  "plan": {}, "samples": [{"id": "acme", "epoch": 1, "uuid": "VkEw…", "input": "Where is my order?", "messages": [], "output": {}, "scores": {"includes": {"value": "C"}},
//!   "events": [{"event": "model", "timestamp": "2026-11-25T19:03:48.287007+00:00", "model": "openai/gpt-4o-mini", "input": [], "output": {"choices": []}}]}]}
//! ```
//!
//! Each sample is a trace. Its root span is the sample; `events` has one span for each event that is a step. A sample without events has one span
//! for each message of the assistant or of a tool.
//!
//! | sample, event | span |
//! |---|---|
//! | `uuid`, or `eval_id`, `id` and `epoch` | trace id |
//! | `eval.task`, or the task in the name of an `.eval` log | service |
//! | `scores` | annotations of the root; the letters `C`, `I`, `P` and `N` stay as they are |
//! | `error`, `limit` | status and exceptions of the root |
//! | `error_retries` | a failed span for each earlier attempt; the events are below one more attempt then |
//! | `span_begin` … `span_end`, `step` (0.3.50), `subtask` | chain, or agent |
//! | `model` | model call: `input` or `input_refs`, `tools`, `output`, `error`, and the finish reason and the refusal in `call.response` |
//! | `tool` | tool: `function`, `arguments`, `result`, `error` |
//! | `sandbox`, `approval` | chain, guardrail |
//! | `error`, `sample_limit` | exception and status of the span around it |
//! | `state`, `store`, `sample_init`, `score` | nothing: they repeat the messages, the store and the scores of the sample |
//! | other events | attributes of the span around it |
//!
//! `content` reads messages, `events` the events, `sample` one sample, `log` the eval around them.
//!
//! Quirks of real logs:
//! - A text that is long, or occurs often, is `attachment://HASH`, and stands in `attachments` of the sample (older: in `transcript.content`).
//! - `input_refs` are ranges of `events_data.messages` (0.3.285); older logs repeat the whole conversation in every `model` event.
//! - A failed model call has an `output` with an empty message and the stop reason `stop`.
//! - A request that the provider refused because it is too long, or its filter matched, has the provider's message as its answer, and `call.error`.
//! - A tool that raised has `failed: true` and neither result nor error; before, it stays `pending`. The error is that of the sample.
//! - The entries of an `.eval` log do not name their eval. Its file is `CREATED_TASK_ID.eval`, with `-` for each `_` of the task.
//! - A sample in chunks, `samples/ID_epoch_N/sample.json` (0.3.285), is rejected: its parts are in other entries.
//! - `fail_on_error` ends the eval at the first failed sample: the error of the eval is that of a sample, unless no sample ran.

mod content;
mod events;
mod log;
mod sample;

use super::Format;
use crate::model::RejectionKind;
use crate::parse::{Accounted, ParsedChunk, Record, RecordLocation, Signature, Skip};

/// The format of Inspect's logs; see the [module docs](self).
pub(super) struct InspectAi;

impl Format for InspectAi {
    fn name(&self) -> &'static str {
        "inspect_ai"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A log, or its header.
                Signature::unique(&["version", "eval", "plan"]),
                // A sample, and its summary.
                Signature::unique(&["id", "epoch", "input", "target", "messages", "output"]),
                Signature::common(&["id", "epoch", "input", "target"]),
                // The reduced scores of a log.
                Signature::common(&["scorer", "samples"]),
            ]
        }
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("eval") {
            log::parse(record, location, out)
        } else if record.has("messages") || record.has("events") || record.has("transcript") {
            let eval = log::Eval::of_file(location.uri);
            sample::parse(record, &eval, &mut content::Repeated::default(), location, out)
        } else if location.uri.ends_with("/sample.json") {
            let reason = format!(
                "cannot read {location}: the sample is stored in chunks\n  hint: convert the log with `inspect log convert --to json`"
            );
            out.reject(location, RejectionKind::MalformedRecord, reason)
        } else if record.has("epoch") || record.has("scorer") {
            out.skip(Skip::OtherEvent, location)
        } else {
            let reason = format!(
                "cannot read {location}: neither a log nor a sample of Inspect\n  hint: a log has the keys version, eval and plan, a sample id, epoch and messages"
            );
            out.reject(location, RejectionKind::MalformedRecord, reason)
        }
    }
}

#[cfg(test)]
mod tests;
