//! What asking a model would take, without asking it: for `plan`.

use super::super::embedded::Embedded;
use super::api::Usage;
use super::{ConnectError, Provider, Settings, gemini, money, price, prompt, settings_digest};
use crate::redact::RedactedTrace;
use crate::runtime::Deadline;

/// What a run over a trace would take, without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens of the question.
    pub input_tokens: u64,
    /// Spans that it shows.
    pub spans_seen: u64,
}

/// Estimates what runs take: for `plan`.
#[derive(Debug, Clone)]
pub struct Estimator {
    embedded: Embedded,
    prompt_tokens: usize,
    /// The model that would be asked, where that is known without asking.
    pub model: Option<String>,
    price: Option<money::Price>,
    /// The digest of the settings, where the model is known.
    pub settings_digest: Option<String>,
}

impl Estimator {
    /// With the settings of a run. Nobody is asked anything, and no key is needed.
    ///
    /// # Errors
    /// [`ConnectError::Settings`] where the prices cannot be read.
    pub fn new(provider: Provider, settings: &Settings, embedded: Embedded, circumstances: &str) -> Result<Self, ConnectError> {
        let (name, model) = match provider {
            Provider::Gemini => ("gemini", Some(gemini::model_of(settings).trim_start_matches("models/").to_owned())),
            Provider::OpenAi => ("openai", settings.model.clone()),
        };
        let price = model.as_deref().map(|model| price(settings, model)).transpose()?.flatten();
        let settings_digest = model.as_deref().map(|model| settings_digest(name, model, settings, circumstances));
        Ok(Self { embedded, prompt_tokens: settings.prompt_tokens, model, price, settings_digest })
    }

    /// What one trace would take; nothing where it cannot be looked at in time.
    pub fn of(&self, trace: &RedactedTrace, deadline: Deadline) -> Option<Estimate> {
        let findings = self.embedded.findings(trace, deadline).ok()?;
        let prompt = prompt::render(trace, &findings, self.prompt_tokens);
        Some(Estimate { input_tokens: prompt.tokens(), spans_seen: prompt.spans_seen as u64 })
    }

    /// US dollars for so many tokens; nothing where the price is not known.
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Option<f64> {
        self.price.map(|price| price.of(Usage { input_tokens, output_tokens }))
    }
}
