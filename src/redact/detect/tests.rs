//! Tests of all detectors together, over the samples of the rule tables.

use super::literals::literals;
use super::*;

fn kinds(text: &str) -> Vec<&'static str> {
    scan(text, &CustomDetectors::default()).into_iter().map(|detection| detection.kind).collect()
}

#[test]
fn every_label_matches_its_examples_and_no_counterexample() {
    let mut complaints = Vec::new();
    for entry in labels::table().unwrap().label {
        assert!(!entry.examples.is_empty() && !entry.counterexamples.is_empty(), "{} has no samples", entry.kind);
        for example in &entry.examples {
            for text in [example.clone(), format!("x\n{example}\ny"), serde_json::json!({"content": example}).to_string()] {
                if !kinds(&text).contains(&entry.kind.as_str()) {
                    complaints.push(format!("{} is not found in {text:?}: {:?}", entry.kind, scan(&text, &CustomDetectors::default())));
                }
            }
        }
        for example in &entry.counterexamples {
            if kinds(example).contains(&entry.kind.as_str()) {
                complaints.push(format!(
                    "{} is wrongly found in {example:?}: {:?}",
                    entry.kind,
                    scan(example, &CustomDetectors::default())
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_credential_format_matches_its_examples_and_no_counterexample() {
    assert!(literals().is_some(), "an embedded table does not compile");
    let mut complaints = Vec::new();
    for entry in secrets::table().unwrap().secret {
        // Samples contain a separator, so that secret scanners do not report this repository.
        let join = |text: &String| text.replace('␣', "");
        assert!(!entry.examples.is_empty() && !entry.counterexamples.is_empty(), "{} has no samples", entry.name);
        for example in entry.examples.iter().map(join) {
            for text in [format!("{}{example}", entry.named), format!("see {}{example} and more", entry.named)] {
                let found = scan(&text, &CustomDetectors::default());
                let is_it = |detection: &Detection| {
                    detection.kind == entry.kind && (detection.value.contains(&example) || example.contains(&detection.value))
                };
                if !found.iter().any(is_it) {
                    complaints.push(format!("{} is not found in {text:?}: {found:?}", entry.name));
                }
            }
        }
        for example in entry.counterexamples.iter().map(join) {
            if kinds(&example).contains(&entry.kind.as_str()) {
                complaints.push(format!(
                    "{} is wrongly found in {example:?}: {:?}",
                    entry.name,
                    scan(&example, &CustomDetectors::default())
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn column_names_are_labels_of_their_cells() {
    for (text, values) in [
        (
            "id,name,phone,tier\n1,Zyrqel Vantroba,981 38 978,2\n2,Qoru Belloc,\"629 066 624\",1\n",
            &["Zyrqel Vantroba", "981 38 978", "Qoru Belloc", "629 066 624"][..],
        ),
        ("User: order;customer;iban\nSO-1;Zyrqel Vantroba;GB57GGBL60203376991029\n", &["Zyrqel Vantroba", "GB57GGBL60203376991029"]),
        (
            "INSERT INTO c (id, full_name, dob) VALUES (1, 'Zyrqel Vantroba', '1967-01-15'), (2, 'Qoru Belloc', '1970-02-01');",
            &["Zyrqel Vantroba", "1967-01-15", "Qoru Belloc", "1970-02-01"],
        ),
        (" id | name | ssn_or_id\n----+------+------\n 1 | Zyrqel Vantroba | 175044112574252\n", &["Zyrqel Vantroba", "175044112574252"]),
        ("<tr><th>Guest</th><th>Phone</th></tr><tr><td>Zyrqel Vantroba</td><td>25 91 78 79</td></tr>", &["Zyrqel Vantroba", "25 91 78 79"]),
    ] {
        let found: Vec<String> = scan(text, &CustomDetectors::default()).into_iter().map(|detection| detection.value).collect();
        for value in values {
            assert!(found.iter().any(|found| found == value), "{value} in {text:?}: {found:?}");
        }
    }
    assert!(kinds("SELECT id, name, email, phone FROM users WHERE id = 4783 LIMIT 10;").is_empty());
}

#[test]
fn a_value_wrapped_over_lines_is_matched_without_the_next_line() {
    let text = "CLIENT_SECRET=whTMZQgQ6VFx82S2t\n0D3fyEKLv2HsbF17E\n-Q_gvd8h9-pKyCelN\nfDyPRURgJVXNd\nend of output";
    let found = scan(text, &CustomDetectors::default());
    assert_eq!(
        found.iter().map(|detection| text.get(detection.range.clone()).unwrap()).collect::<Vec<_>>(),
        [text.strip_prefix("CLIENT_SECRET=").unwrap().strip_suffix("\nend of output").unwrap()]
    );
    let text = "API_KEY=0D3fyEKLv2HsbF17E8aQ\nMAX_RETRIES=3\nREGION=eu";
    let found = scan(text, &CustomDetectors::default());
    assert_eq!(found.iter().map(|detection| detection.value.as_str()).collect::<Vec<_>>(), ["0D3fyEKLv2HsbF17E8aQ"]);
}

#[test]
fn names_are_found_by_lexicon_cue_email_and_context() {
    for (text, name) in [
        ("I think Marguerite Oyelaran knows", "Marguerite Oyelaran"),
        ("my name is Zyrqel Vantroba.", "Zyrqel Vantroba"),
        ("ask Zyrqel Vantroba <z.vantroba@mail.example>", "Zyrqel Vantroba"),
        ("it's Hernandez, Joseph, again", "Hernandez, Joseph"),
        ("If this wasn't you, Mikael, reset it", "Mikael"),
        ("お客様: 松本 修平と申します。", "松本 修平"),
        ("你好，我叫陈琳，电话", "陈琳"),
    ] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().any(|detection| detection.kind == "person" && detection.value == name), "{text:?}: {found:?}");
    }
    for text in [
        "Jenkins triggered Airflow, and Claude answered through Gemini",
        "Bill the account, then chase the art team; Mark as read and grant a grace period",
        "Apply Bayes theorem, then a Fourier transform; the Dijkstra step uses a Gaussian prior and Poisson noise.",
        "The Jordan river region, Sydney time zone (Australia/Sydney) and Washington office are in scope.",
        "See Python's EOL calendar. Extensions are named \"Flask-Foo\".",
    ] {
        assert!(kinds(text).is_empty(), "{text:?}: {:?}", scan(text, &CustomDetectors::default()));
    }
}
