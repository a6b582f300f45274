//! What a model costs, and how much of it may still be spent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tokio::sync::Notify;

use super::api::Usage;

/// Prices that failsift ships; `--prices` names a file of the same form beside them.
const SHIPPED: &str = include_str!("../../../data/prices.toml");

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Price {
    pub(super) input: f64,
    pub(super) output: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    model: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    input: f64,
    output: f64,
}

/// The price of a model, by its name or its name without date and number; nothing where it is not known. `own` is the text of a file of
/// prices, which goes before those that are shipped.
///
/// # Errors
/// What is wrong with `own`.
pub(super) fn price_of(model: &str, own: Option<&str>) -> Result<Option<Price>, String> {
    for text in own.into_iter().chain([SHIPPED]) {
        let file: File = toml::from_str(text).map_err(|error| crate::suggest::toml_error(text, &error))?;
        if let Some(entry) = file.model.iter().find(|entry| !(entry.input >= 0.0 && entry.output >= 0.0)) {
            return Err(format!("the prices of {} must be numbers from 0 on", entry.name));
        }
        let found = [model, undated(model)].into_iter().find_map(|name| file.model.iter().find(|entry| entry.name == name));
        if let Some(Entry { input, output, .. }) = found {
            return Ok(Some(Price { input: *input, output: *output }));
        }
    }
    Ok(None)
}

/// `gpt-4o-2024-08-06` is `gpt-4o`, `models/gemini-3.5-flash-001` is `gemini-3.5-flash`.
fn undated(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = |part: &str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut name = name;
    while let Some((rest, last)) = name.rsplit_once('-')
        && version(last)
    {
        name = rest;
    }
    name
}

impl Price {
    /// In US dollars.
    pub(super) fn of(self, usage: Usage) -> f64 {
        as_dollars(self.pico(usage))
    }

    /// In millionths of a millionth of a dollar, so that sums are exact.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "prices are positive, and dollars fit into millions")]
    fn pico(self, usage: Usage) -> u64 {
        let of = |tokens: u64, price: f64| tokens.saturating_mul((price * 1e6).round() as u64);
        of(usage.input_tokens, self.input).saturating_add(of(usage.output_tokens, self.output))
    }
}

#[expect(clippy::cast_precision_loss, reason = "dollars for people")]
fn as_dollars(pico: u64) -> f64 {
    pico as f64 / 1e12
}

/// What may be spent. Before each request its highest possible cost is set aside, so the limit holds whatever is answered.
#[derive(Debug)]
pub(super) struct Purse {
    price: Option<Price>,
    most: Option<u64>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    spent: u64,
    reserved: u64,
    /// Once something did not fit while nothing was set aside, nothing more is begun.
    exhausted: bool,
}

/// Money that is set aside for one request. Dropped without being settled, all of it counts as spent once the request is out: the provider may have
/// worked.
#[derive(Debug)]
pub(super) struct Reserved<'p> {
    purse: &'p Purse,
    pico: u64,
    is_out: bool,
}

impl Purse {
    /// `most` in US dollars.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive and finite by the configuration")]
    pub(super) fn new(price: Option<Price>, most: Option<f64>) -> Self {
        Self { price, most: most.map(|dollars| (dollars * 1e12) as u64), state: Mutex::default(), settled: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cost of what was used.
    pub(super) fn cost(&self, usage: Usage) -> f64 {
        self.price.map_or(0.0, |price| price.of(usage))
    }

    /// Whether nothing more may be begun.
    pub(super) fn is_exhausted(&self) -> bool {
        self.state().exhausted
    }

    /// Sets the most that a request can cost aside, once it fits; nothing where it will not.
    pub(super) async fn reserve(&self, most: Usage) -> Option<Reserved<'_>> {
        let pico = self.price.map_or(0, |price| price.pico(most));
        let Some(limit) = self.most else { return Some(Reserved { purse: self, pico: 0, is_out: false }) };
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            // From here on no settling is missed.
            settled.as_mut().enable();
            {
                let mut state = self.state();
                if state.exhausted {
                    return None;
                }
                if state.spent.saturating_add(state.reserved).saturating_add(pico) <= limit {
                    state.reserved += pico;
                    return Some(Reserved { purse: self, pico, is_out: false });
                }
                if state.reserved == 0 {
                    state.exhausted = true;
                    self.settled.notify_waiters();
                    return None;
                }
            }
            settled.await;
        }
    }

    fn settle(&self, reserved: u64, spent: u64) {
        let mut state = self.state();
        state.reserved = state.reserved.saturating_sub(reserved);
        state.spent = state.spent.saturating_add(spent);
        drop(state);
        self.settled.notify_waiters();
    }
}

impl Reserved<'_> {
    /// The request goes out.
    pub(super) fn goes_out(&mut self) {
        self.is_out = true;
    }

    /// What the request really took; nothing where it was refused.
    pub(super) fn settle(mut self, usage: Usage) {
        let spent = self.purse.price.map_or(0, |price| price.pico(usage));
        self.purse.settle(std::mem::take(&mut self.pico), if self.purse.most.is_some() { spent } else { 0 });
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.pico > 0 {
            self.purse.settle(self.pico, if self.is_out { self.pico } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens }
    }

    #[test]
    fn prices_are_found_by_name_and_by_undated_name() {
        let shipped = |model| price_of(model, None).unwrap();
        assert!(shipped("gemini-3.5-flash").is_some() && shipped("gemini-3.5-flash") == shipped("models/gemini-3.5-flash-001"));
        assert!(shipped("gpt-4o").is_some() && shipped("gpt-4o") == shipped("gpt-4o-2024-08-06"));
        assert_ne!(shipped("gpt-5"), shipped("gpt-5-mini"));
        assert_eq!(shipped("gpt-5-unheard-of"), None);
        let own = "[[model]]\nname = 'mine'\ninput = 1\noutput = 2.5\n";
        assert_eq!(price_of("mine", Some(own)), Ok(Some(Price { input: 1.0, output: 2.5 })));
        assert!(price_of("mine", Some("[[model]]\nname = 'mine'\n")).is_err());
        assert!(price_of("mine", Some("[[model]]\nname = 'mine'\ninput = -1\noutput = 1\n")).is_err());
        assert!((Price { input: 0.3, output: 2.5 }.of(usage(1_000_000, 100_000)) - 0.55).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_limit_holds_whatever_is_answered() {
        let purse = Purse::new(Some(Price { input: 1.0, output: 1.0 }), Some(0.01));
        // Ten thousand tokens in all.
        let first = purse.reserve(usage(4_000, 1_000)).await.unwrap();
        let second = purse.reserve(usage(4_000, 1_000)).await.unwrap();
        first.settle(usage(3_000, 0));
        // What was set aside and not used can be used by another.
        let never_sent = purse.reserve(usage(2_000, 0)).await.unwrap();
        drop(never_sent);
        let mut third = purse.reserve(usage(2_000, 0)).await.unwrap();
        third.goes_out();
        // Nobody knows what became of it.
        drop(third);
        second.settle(usage(4_000, 1_000));
        assert!(purse.reserve(usage(1, 0)).await.is_none());
        assert!(purse.is_exhausted());
    }

    #[tokio::test]
    async fn who_does_not_fit_waits_for_what_is_set_aside() {
        let purse = Purse::new(Some(Price { input: 1.0, output: 1.0 }), Some(0.01));
        let first = purse.reserve(usage(9_000, 0)).await.unwrap();
        assert!(purse.reserve(usage(9_000, 0)).now_or_never().is_none(), "it waits");
        let (second, ()) = tokio::join!(purse.reserve(usage(9_000, 0)), async {
            tokio::task::yield_now().await;
            first.settle(usage(1_000, 0));
        });
        assert!(second.is_some() && !purse.is_exhausted());
    }
}
