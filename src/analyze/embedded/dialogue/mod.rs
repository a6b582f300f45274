//! The dialogue of a run: which failure its turns indicate when no step reports one.
//!
//! In: a redacted trace as [`Dialogue`], its turns in order with span and field; `written_calls` reads the tool calls that agents write as text. Out: ranked labels. `signals` finds observations in the turns,
//! `measures` computes those that no expression can find, and `weights` ranks the labels that they indicate. Knows nothing of rules or drafts.

mod measures;
mod pattern_set;
mod signals;
mod turns;
mod weights;
mod written_calls;

pub(super) use self::signals::{SignalEntry, SignalMatches, SignalSet};
pub(super) use self::turns::{Dialogue, Turn, TurnKind};
pub(super) use self::weights::{RankedLabel, Weights};
