//! Estimates what a run would cost, without calling a model: for `failsift plan`.

use super::super::embedded::Embedded;
use super::api::Usage;
use super::cost::Price;
use super::{ConnectError, Provider, Settings, find_price, gemini, prompt, settings_digest};
use crate::redact::RedactedTrace;
use crate::runtime::Deadline;

/// The estimate for one trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Model tokens of the prompt.
    pub input_tokens: u64,
    /// Spans that the prompt shows.
    pub spans_seen: u64,
}

/// Estimates traces with the settings of a run.
#[derive(Debug, Clone)]
pub struct Estimator {
    embedded: Embedded,
    prompt_tokens: usize,
    /// The model, if it is known without asking the server.
    pub model: Option<String>,
    price: Option<Price>,
    /// The digest of the settings, if the model is known.
    pub settings_digest: Option<String>,
}

impl Estimator {
    /// Sends no request and needs no API key. `analysis_settings` is as for [`LlmAnalyzer::connect`](super::LlmAnalyzer::connect).
    ///
    /// # Errors
    /// [`ConnectError::Settings`] if the price file is invalid.
    pub fn new(provider: Provider, settings: &Settings, embedded: Embedded, analysis_settings: &str) -> Result<Self, ConnectError> {
        let (name, model) = match provider {
            Provider::Gemini => ("gemini", Some(gemini::model_name(settings).to_owned())),
            Provider::OpenAi => ("openai", settings.model.clone()),
        };
        let price = model.as_deref().map(|model| find_price(settings, model)).transpose()?.flatten();
        let settings_digest = model.as_deref().map(|model| settings_digest(name, model, settings, analysis_settings));
        Ok(Self { embedded, prompt_tokens: settings.prompt_tokens, model, price, settings_digest })
    }

    /// The estimate for a trace; `None` if it takes too long to examine.
    pub fn estimate(&self, trace: &RedactedTrace, deadline: Deadline) -> Option<Estimate> {
        let findings = self.embedded.findings(trace, deadline).ok()?;
        let prompt = prompt::render(trace, &findings, self.prompt_tokens);
        Some(Estimate { input_tokens: prompt.tokens(), spans_seen: prompt.spans_seen as u64 })
    }

    /// The cost of these model tokens in US dollars; `None` if the price is unknown.
    pub fn cost_usd(&self, input_tokens: u64, output_tokens: u64) -> Option<f64> {
        self.price.map(|price| price.cost_usd(Usage { input_tokens, output_tokens }))
    }
}
