//! What a rate limit counts and what a quota is, in words: `tokens per minute`, `prepaid credit`.

use super::super::byte_regex::ByteRegex;

/// What a limit counts, such as `input tokens per minute`; `None` if the text does not say.
pub(super) fn kind_of_limit(text: &str) -> Option<String> {
    static WORDS: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?:(?-u:\b)|_)(?P<unit>(?:input |output |request |prompt |generated |cached input )?tokens|requests|queries|(?:api )?calls|images|messages|searches|models)",
        r"(?: ?/ ?| per |[-_]per[-_]| a |[-_]per )(?P<period>second|sec|minute|min|hour|day|month|s|m|h|d)(?:(?-u:\b)|_)",
    ));
    static CAMEL_CASE: ByteRegex = ByteRegex::new(
        r"(?P<unit>InputTokens|OutputTokens|Tokens|Requests|Queries)Per(?:ModelPer|ProjectPer)?(?P<period>Second|Minute|Hour|Day|Month)",
    );
    static PERIOD_FIRST: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)number of (?P<unit>(?:request |input |output )?tokens|requests) has exceeded your (?:per-(?P<period>minute|day|hour)|(?P<daily>daily))|",
        r"(?-u:\b)(?P<period2>daily|hourly|monthly) (?P<unit2>(?:input |output )?token|request|query|call|message) (?:limit|quota|rate)|(?-u:\b)(?P<unit3>token|request|call)s? (?:per[- ])(?P<period3>second|minute|min|hour|day|month)",
    ));
    static ABBREVIATION: ByteRegex = ByteRegex::new(r"(?i)(?-u:\b)(?P<abbreviation>[io]?tpm|rpm|tpd|rpd|rps|tps|rph)(?:(?-u:\b)|_)");
    static CONCURRENCY: ByteRegex = ByteRegex::new(r"(?i)(?-u:\b)(?:concurren(?:t|cy)|(?:max )?parallel requests?|simultaneous)|并发");
    static UNIT_ONLY: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)exceeded (?P<unit>token|call|request) rate limit|(?-u:\b)too many (?P<unit2>(?:input )?tokens)(?-u:\b)",
    );
    let phrase = |unit: &str, period: &str| {
        let unit = plural(&unit.to_lowercase());
        match period_word(period) {
            Some(period) => format!("{unit} per {period}"),
            None => unit,
        }
    };
    for expression in [&WORDS, &CAMEL_CASE, &PERIOD_FIRST] {
        let Some(captures) = expression.captures(text) else { continue };
        let group = |names: [&str; 3]| names.iter().find_map(|name| captures.name(name)).map(|found| found.as_str());
        if let Some(unit) = group(["unit", "unit2", "unit3"]) {
            let period = group(["period", "period2", "period3"]).or_else(|| captures.name("daily").map(|_| "day"));
            return Some(phrase(unit, period.unwrap_or_default()));
        }
    }
    if let Some(found) = ABBREVIATION.captures(text).and_then(|captures| captures.name("abbreviation")) {
        let word = found.as_str().to_lowercase();
        return Some(
            match word.as_str() {
                "tpm" => "tokens per minute",
                "itpm" => "input tokens per minute",
                "otpm" => "output tokens per minute",
                "rpm" => "requests per minute",
                "tpd" => "tokens per day",
                "rpd" => "requests per day",
                "rps" => "requests per second",
                "rph" => "requests per hour",
                _ => "tokens per second",
            }
            .to_owned(),
        );
    }
    if CONCURRENCY.is_match(text) {
        return Some("concurrent requests".to_owned());
    }
    let captures = UNIT_ONLY.captures(text)?;
    captures.name("unit").or_else(|| captures.name("unit2")).map(|found| plural(&found.as_str().to_lowercase()))
}

fn plural(unit: &str) -> String {
    let unit = match unit {
        "inputtokens" => "input tokens",
        "outputtokens" => "output tokens",
        "api calls" => "calls",
        "query" => "queries",
        unit => unit,
    };
    if unit.ends_with('s') { unit.to_owned() } else { format!("{unit}s") }
}

fn period_word(period: &str) -> Option<&'static str> {
    Some(match period.to_lowercase().as_str() {
        "second" | "sec" | "s" => "second",
        "minute" | "min" | "m" => "minute",
        "hour" | "hourly" | "h" => "hour",
        "day" | "daily" | "d" => "day",
        "month" | "monthly" => "month",
        _ => return None,
    })
}

/// What is used up, as the subject of a sentence; `None` if the text does not say.
pub(super) fn kind_of_quota(text: &str) -> Option<&'static str> {
    static KINDS: [(ByteRegex, &str); 9] = [
        (
            ByteRegex::new(
                r"(?i)credit balance is too low|insufficient[_ ](?:credits|balance|funds)|out of credits?|prepa(?:id|yment)|not enough credits|requires more credits|余额|欠费|充值",
            ),
            "the prepaid credit",
        ),
        (ByteRegex::new(r"(?i)(?-u:\b)(?:max )?budget(?-u:\b)"), "the budget"),
        (ByteRegex::new(r"(?i)spend(?:ing)? limit|billing (?:hard )?limit|hard limit|api usage limits"), "the spending limit"),
        (ByteRegex::new(r"(?i)included credits|monthly (?:usage )?(?:limit|quota|credits)|per ?month|/ ?month"), "the monthly quota"),
        (ByteRegex::new(r"(?i)per[-_ ]?day|daily|(?-u:\b)[TR]PD(?-u:\b)|PerDay"), "the daily quota"),
        (ByteRegex::new(r"(?i)free[-_ ]?tier|免费额度|trial key"), "the free tier"),
        (ByteRegex::new(r"(?i)usage_limit_reached|usage limit"), "the usage limit of the plan"),
        (ByteRegex::new(r"(?i)insufficient_quota|exceeded your current quota|plan and billing"), "the quota of the plan"),
        (ByteRegex::new(r"(?i)account quota|ServiceQuotaExceeded"), "the quota of the account"),
    ];
    let mut kinds = KINDS.iter();
    kinds.find(|(expression, _)| expression.is_match(text)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_counts_is_one_phrase_in_every_notation() {
        for (text, expected) in [
            ("on tokens per min (TPM): Limit 30000", "tokens per minute"),
            ("rate limit of 40,000 input tokens per minute", "input tokens per minute"),
            ("on requests per day (RPD): Limit 200", "requests per day"),
            ("Number of request tokens has exceeded your per-minute rate limit", "request tokens per minute"),
            ("Number of requests has exceeded your per-minute rate limit", "requests per minute"),
            ("limited to 10 API calls / minute", "calls per minute"),
            ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "requests per day"),
            ("generate_content_requests_per_minute_per_project", "requests per minute"),
            ("GenerateContentInputTokensPerModelPerMinute-FreeTier", "input tokens per minute"),
            ("free-models-per-day", "models per day"),
            ("organization max RPM: 3", "requests per minute"),
            ("max organization concurrency: 1", "concurrent requests"),
            ("Hit TPM limit: rpm_limit", "tokens per minute"),
            ("have exceeded token rate limit of your current OpenAI S0 pricing tier", "tokens"),
            ("exceeded call rate limit", "calls"),
            ("Too many tokens, please wait before trying again.", "tokens"),
            ("daily request limit", "requests per day"),
        ] {
            assert_eq!(kind_of_limit(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "429 Too Many Requests",
            "Rate limit exceeded",
            "Resource has been exhausted (e.g. check quota).",
            "Requests rate limit exceeded",
        ] {
            assert_eq!(kind_of_limit(text), None, "{text}");
        }
    }

    #[test]
    fn quotas_are_distinguished() {
        for (text, expected) in [
            ("Your credit balance is too low to access the Anthropic API.", Some("the prepaid credit")),
            ("Insufficient Balance", Some("the prepaid credit")),
            ("Budget has been exceeded! Current cost: 10.2", Some("the budget")),
            ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Some("the daily quota")),
            ("You have exceeded your monthly included credits for Inference Providers", Some("the monthly quota")),
            ("You exceeded your current quota, please check your plan and billing details.", Some("the quota of the plan")),
            ("Your account quota was exceeded", Some("the quota of the account")),
            ("on tokens per day (TPD): Limit 100000", Some("the daily quota")),
            ("Error code: 429", None),
        ] {
            assert_eq!(kind_of_quota(text), expected, "{text}");
        }
    }
}
