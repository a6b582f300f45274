//! Times, ages and durations in flags and pipeline files.

use std::time::Duration;

/// Parses a point in time to nanoseconds since 1970: RFC 3339, a date (midnight UTC), or an age such as `24h` or `7d`.
///
/// # Errors
/// A message with a hint that shows valid times.
pub fn parse_time(text: &str, now: chrono::DateTime<chrono::Utc>) -> Result<i64, String> {
    let invalid =
        || format!("invalid time '{text}'\n  hint: use a date (2026-11-23), a time (2026-11-23T09:00:00Z) or an age (90m, 24h, 7d)");
    let age = || parse_duration(text).ok().and_then(|age| now.checked_sub_signed(chrono::TimeDelta::from_std(age).ok()?));
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc());
    let exact = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    age().or_else(date).or_else(exact).and_then(|time| time.timestamp_nanos_opt()).ok_or_else(invalid)
}

/// Parses a duration: `30s`, `90m`, `24h`, `7d`, `2w`, `1h 30m`.
///
/// # Errors
/// A message with a hint that shows valid durations.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // humantime takes a bare 0, which elsewhere may be a version or a count.
    let has_unit = text.ends_with(|c: char| !c.is_ascii_digit());
    let parsed = humantime::parse_duration(text.strip_prefix('+').unwrap_or(text)).ok().filter(|_| has_unit);
    parsed.ok_or_else(|| format!("invalid duration '{text}'\n  hint: use a number and a unit: 30s, 90m, 24h, 7d, 2w"))
}

/// Converts a timeout in seconds from flags and files.
///
/// # Errors
/// A message if the timeout is out of range.
pub fn timeout_from_seconds(seconds: f64) -> Result<Duration, String> {
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(format!("invalid timeout of {seconds} s: must be between 0.001 and 86400 s"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_an_exact_time_or_an_age() {
        let now = chrono::DateTime::from_timestamp(1_795_424_400, 0).unwrap();
        let seconds = |text: &str| parse_time(text, now).map(|time| time / 1_000_000_000);
        assert_eq!(seconds("24h"), Ok(1_795_424_400 - 86_400));
        assert_eq!(seconds("1h 30m"), Ok(1_795_424_400 - 5_400));
        assert_eq!(seconds("2026-11-23"), Ok(1_795_392_000));
        assert_eq!(seconds("2026-11-23T10:00:00+01:00"), Ok(1_795_424_400));
        for text in ["yesterday", "", "\u{e9}", "0", "12", "h", "-1h", "4294967295w", "2026-13-01"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(seconds("yesterday").unwrap_err().starts_with("invalid time 'yesterday'\n  hint: "));
    }

    #[test]
    fn every_unit_from_seconds_to_weeks_is_a_duration() {
        for (text, seconds) in
            [("0s", 0), ("30s", 30), ("90m", 5_400), ("24h", 86_400), ("+7d", 7 * 86_400), ("2w", 14 * 86_400), ("007m", 420)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        // The largest number that was ever accepted.
        assert_eq!(parse_duration("4294967295w"), Ok(Duration::from_hours(4_294_967_295 * 7 * 24)));
        for text in ["", "0", "5", "h", "-1h", "1.5x", "s1", "++1s", "1h-30m"] {
            assert_eq!(parse_duration(text).unwrap_err().lines().next(), Some(format!("invalid duration '{text}'").as_str()));
        }
    }
}
