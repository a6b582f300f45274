//! Prices of models, and the budget of a run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tokio::sync::Notify;

use super::api::Usage;

/// The shipped prices; a file given with `--prices` has the same format and takes precedence.
const SHIPPED: &str = include_str!("../../../data/prices.toml");

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Price {
    pub(super) input: f64,
    pub(super) output: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    #[serde(default)]
    model: Vec<PriceEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceEntry {
    name: String,
    input: f64,
    output: f64,
}

/// Looks up the price of a model by its name, or by its name without date and version; `None` if it is unknown. `custom` is the text of a price
/// file that takes precedence over the shipped prices.
///
/// # Errors
/// A message about what is wrong with `custom`.
pub(super) fn find_price(model: &str, custom: Option<&str>) -> Result<Option<Price>, String> {
    for text in custom.into_iter().chain([SHIPPED]) {
        let file: PriceFile = toml::from_str(text).map_err(|error| crate::messages::toml_error(text, &error))?;
        if let Some(entry) = file.model.iter().find(|entry| !(entry.input >= 0.0 && entry.output >= 0.0)) {
            return Err(format!("the prices of {} must not be negative", entry.name));
        }
        let found = [model, without_version(model)].into_iter().find_map(|name| file.model.iter().find(|entry| entry.name == name));
        if let Some(PriceEntry { input, output, .. }) = found {
            return Ok(Some(Price { input: *input, output: *output }));
        }
    }
    Ok(None)
}

/// `gpt-4o-2024-08-06` becomes `gpt-4o`, `models/gemini-3.5-flash-001` becomes `gemini-3.5-flash`.
fn without_version(model: &str) -> &str {
    let is_version = |part: &str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut name = model.rsplit('/').next().unwrap_or(model);
    while let Some((rest, last)) = name.rsplit_once('-')
        && is_version(last)
    {
        name = rest;
    }
    name
}

impl Price {
    /// The cost in US dollars.
    pub(super) fn cost_usd(self, usage: Usage) -> f64 {
        as_dollars(self.cost_picodollars(usage))
    }

    /// The cost in trillionths of a dollar. Sums of integers are exact.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "prices are positive and far below the range of u64")]
    fn cost_picodollars(self, usage: Usage) -> u64 {
        let cost = |tokens: u64, price: f64| tokens.saturating_mul((price * 1e6).round() as u64);
        cost(usage.input_tokens, self.input).saturating_add(cost(usage.output_tokens, self.output))
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn as_dollars(picodollars: u64) -> f64 {
    picodollars as f64 / 1e12
}

/// The money that a run may spend. The highest possible cost of each request is reserved before it is sent, so the limit is never
/// exceeded.
#[derive(Debug)]
pub(super) struct CostBudget {
    price: Option<Price>,
    /// In picodollars, as all amounts here.
    limit: Option<u64>,
    state: Mutex<State>,
    /// Notified when a reservation ends.
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    spent: u64,
    reserved: u64,
    /// Set when a request did not fit although nothing was reserved: no later request will fit either.
    is_exhausted: bool,
}

/// An amount reserved for one request. If it is dropped without [`charge`](Self::charge) or [`release`](Self::release), it is charged in full if
/// the request was sent, because the provider may have done the work.
#[derive(Debug)]
pub(super) struct Reservation<'b> {
    budget: &'b CostBudget,
    amount: u64,
    was_sent: bool,
}

impl CostBudget {
    /// A budget of `limit_usd` for a model with this price.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the configuration checks that it is positive and finite")]
    pub(super) fn new(price: Option<Price>, limit_usd: Option<f64>) -> Self {
        Self { price, limit: limit_usd.map(|dollars| (dollars * 1e12) as u64), state: Mutex::default(), released: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cost of `usage`; 0 if the price is unknown.
    pub(super) fn cost_usd(&self, usage: Usage) -> f64 {
        self.price.map_or(0.0, |price| price.cost_usd(usage))
    }

    /// Whether no further request fits.
    pub(super) fn is_exhausted(&self) -> bool {
        self.state().is_exhausted
    }

    /// Reserves the highest cost of a request. Waits while it might still fit, because other reservations may end below their amount; `None` if
    /// it does not fit.
    pub(super) async fn reserve(&self, usage_max: Usage) -> Option<Reservation<'_>> {
        let amount = self.price.map_or(0, |price| price.cost_picodollars(usage_max));
        let Some(limit) = self.limit else { return Some(Reservation { budget: self, amount: 0, was_sent: false }) };
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            // Registers before the check, so that no notification is missed.
            released.as_mut().enable();
            {
                let mut state = self.state();
                if state.is_exhausted {
                    return None;
                }
                if state.spent.saturating_add(state.reserved).saturating_add(amount) <= limit {
                    state.reserved += amount;
                    return Some(Reservation { budget: self, amount, was_sent: false });
                }
                if state.reserved == 0 {
                    state.is_exhausted = true;
                    self.released.notify_waiters();
                    return None;
                }
            }
            released.await;
        }
    }

    fn end_reservation(&self, reserved: u64, spent: u64) {
        let mut state = self.state();
        state.reserved = state.reserved.saturating_sub(reserved);
        state.spent = state.spent.saturating_add(spent);
        drop(state);
        self.released.notify_waiters();
    }
}

impl Reservation<'_> {
    /// The request is sent now.
    pub(super) fn mark_sent(&mut self) {
        self.was_sent = true;
    }

    /// Charges what the request used.
    pub(super) fn charge(mut self, usage: Usage) {
        let spent = self.budget.price.map_or(0, |price| price.cost_picodollars(usage));
        self.budget.end_reservation(std::mem::take(&mut self.amount), if self.budget.limit.is_some() { spent } else { 0 });
    }

    /// Charges nothing: the provider answered with an error, or the request never arrived.
    pub(super) fn release(self) {
        self.charge(Usage::default());
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.budget.end_reservation(self.amount, if self.was_sent { self.amount } else { 0 });
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
    fn prices_are_found_by_name_with_or_without_version() {
        let shipped = |model| find_price(model, None).unwrap();
        assert!(shipped("gemini-3.5-flash").is_some() && shipped("gemini-3.5-flash") == shipped("models/gemini-3.5-flash-001"));
        assert!(shipped("gpt-4o").is_some() && shipped("gpt-4o") == shipped("gpt-4o-2024-08-06"));
        assert_ne!(shipped("gpt-5"), shipped("gpt-5-mini"));
        assert_eq!(shipped("gpt-5-unheard-of"), None);
        let custom = "[[model]]\nname = 'mine'\ninput = 1\noutput = 2.5\n";
        assert_eq!(find_price("mine", Some(custom)), Ok(Some(Price { input: 1.0, output: 2.5 })));
        assert!(find_price("mine", Some("[[model]]\nname = 'mine'\n")).is_err());
        assert!(find_price("mine", Some("[[model]]\nname = 'mine'\ninput = -1\noutput = 1\n")).is_err());
        assert!((Price { input: 0.3, output: 2.5 }.cost_usd(usage(1_000_000, 100_000)) - 0.55).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_cost_limit_is_never_exceeded() {
        // Ten thousand tokens in total.
        let budget = CostBudget::new(Some(Price { input: 1.0, output: 1.0 }), Some(0.01));
        let first = budget.reserve(usage(4_000, 1_000)).await.unwrap();
        let second = budget.reserve(usage(4_000, 1_000)).await.unwrap();
        first.charge(usage(3_000, 0));
        // The unused part of the first reservation is available again.
        let never_sent = budget.reserve(usage(2_000, 0)).await.unwrap();
        drop(never_sent);
        let mut third = budget.reserve(usage(2_000, 0)).await.unwrap();
        third.mark_sent();
        // Its outcome is unknown, so it is charged in full.
        drop(third);
        second.charge(usage(4_000, 1_000));
        assert!(budget.reserve(usage(1, 0)).await.is_none());
        assert!(budget.is_exhausted());
    }

    #[tokio::test]
    async fn a_request_that_does_not_fit_waits_for_reservations_to_end() {
        let budget = CostBudget::new(Some(Price { input: 1.0, output: 1.0 }), Some(0.01));
        let first = budget.reserve(usage(9_000, 0)).await.unwrap();
        assert!(budget.reserve(usage(9_000, 0)).now_or_never().is_none(), "it waits");
        let (second, ()) = tokio::join!(budget.reserve(usage(9_000, 0)), async {
            tokio::task::yield_now().await;
            first.charge(usage(1_000, 0));
        });
        assert!(second.is_some() && !budget.is_exhausted());
    }
}
