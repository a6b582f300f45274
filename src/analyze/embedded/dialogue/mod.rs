//! The dialogue of a run: which failure its turns indicate when no step reports one.
//!
//! In: a redacted trace as [`Dialogue`], its turns in order with span and field. Out: ranked labels. `signals` finds observations in the turns,
//! `measures` computes those that no expression can find, and `weights` ranks the labels that they indicate. Knows nothing of rules or drafts.

mod measures;
mod pattern_set;
mod signals;
mod turns;
mod weights;

pub(super) use self::signals::{SignalEntry, SignalMatches, SignalSet};
pub(super) use self::turns::Dialogue;
pub(super) use self::weights::{RankedLabel, Weights};
