//! Tests of names. All names are made up.

use super::super::{CustomDetectors, scan};

/// The persons found in a text.
fn persons(text: &str) -> Vec<String> {
    let found = scan(text, &CustomDetectors::default());
    found.into_iter().filter(|detection| detection.kind == "person").map(|detection| detection.value).collect()
}

fn check(cases: &[(&str, &str)]) {
    for (text, name) in cases {
        let found = persons(text);
        assert!(found.iter().any(|found| found == name), "{name} in {text:?}: {found:?}");
    }
}

fn check_harmless(texts: &[&str]) {
    for text in texts {
        assert!(persons(text).is_empty(), "{text:?}: {:?}", persons(text));
    }
}

#[test]
fn names_in_lower_case_follow_a_cue() {
    check(&[
        ("hello, my name is zyrqel vantroba and i forgot my pin", "zyrqel vantroba"),
        ("i spoke with marguerite zyrqel yesterday", "marguerite zyrqel"),
        ("i'm qoru van der vantroba, calling about it", "qoru van der vantroba"),
        ("me llamo zyrqel vantroba", "zyrqel vantroba"),
        ("nazywam się zyrqel, dzień dobry", "zyrqel"),
        ("signed, vantroba", "vantroba"),
    ]);
    check_harmless(&[
        "my name is not shown, the name is required",
        "spoke with support, i'm using docker compose, this is great",
        "hi, kubectl is missing; dear all, thanks",
        "spoke with zyrqel_agent about it",
    ]);
}

#[test]
fn names_in_scripts_without_capitals_follow_a_cue() {
    check(&[
        ("اسمي زركل فنتروبا وأحتاج إلى مساعدة", "زركل فنتروبا"),
        ("السيدة قورو فنتروبا", "قورو فنتروبا"),
        ("שמי זרקל ונטרובה", "זרקל ונטרובה"),
        ("मेरा नाम ज़रकल वंत्रोबा है", "ज़रकल वंत्रोबा"),
        ("জনাব জারকেল ভান্ত্রোবা", "জারকেল ভান্ত্রোবা"),
        ("என் பெயர் சர்கல் வந்த்ரோபா", "சர்கல் வந்த்ரோபா"),
        ("ผมชื่อ สรรเกล วันโตรบา ครับ", "สรรเกล วันโตรบา"),
        ("ბატონი ზირქელ ვანტრობა", "ზირქელ ვანტრობა"),
    ]);
    check_harmless(&["الاسم الأول مطلوب", "नाम आवश्यक है", "ชื่อสินค้า: เสื้อ", "شكرا لطلبك. مع التحية، فريق الدعم"]);
}

#[test]
fn titles_and_letters_in_many_languages() {
    check(&[
        ("Mx. Vantroba prefers email", "Vantroba"),
        ("Frau Dr. Vantroba ruft an", "Vantroba"),
        ("Mlle Zyrqel Vantroba attend", "Zyrqel Vantroba"),
        ("Dott.ssa Zyrqel Vantroba riceve", "Zyrqel Vantroba"),
        ("Pani Vantroba dzwoniła", "Vantroba"),
        ("Zyrqel Hanım aradı", "Zyrqel"),
        ("г-н Вантроба звонил", "Вантроба"),
        ("Αγαπητέ κ. Βαντρόμπα, σας γράφω", "Βαντρόμπα"),
        ("Ông Zyrqel Vantroba gọi", "Zyrqel Vantroba"),
        ("Alhaji Zyrqel Vantroba came", "Zyrqel Vantroba"),
        ("Zyrqel-san will join", "Zyrqel"),
        ("Med vänliga hälsningar\nZyrqel Vantroba", "Zyrqel Vantroba"),
        ("Üdvözlettel,\nZyrqel Vantroba", "Zyrqel Vantroba"),
        ("Kunden Zyrqel Vantroba ringde", "Zyrqel Vantroba"),
        ("Hi Zyrqel,\nthanks", "Zyrqel"),
        ("-- \nZyrqel Vantroba\nphone on request", "Zyrqel Vantroba"),
    ]);
    check_harmless(&[
        "Dear Customer, Dear Hiring Manager,",
        "Kind regards,\nThe Support Team",
        "Kind regards,\nInitech",
        "Sehr geehrter Herr <PERSON:1a2b3c>, Szanowny Panie <PERSON:1a2b3c>, Cher Monsieur <PERSON:1a2b3c>",
        "S pozdravem,\nTým podpory",
        "Ver em Editar; usado em Pesquisar",
        "Aufgrund von Fehlern konnte die Datei nicht gespeichert werden",
    ]);
}

#[test]
fn names_by_their_notation() {
    check(&[
        ("see J. R. R. Vantroba and others", "J. R. R. Vantroba"),
        ("as in Vantroba, Z. Q. (2019)", "Vantroba, Z. Q."),
        ("Patient: Vantroba, Zyrqel Qoru", "Vantroba, Zyrqel Qoru"),
        ("\"Vantroba, Zyrqel\" <q@mail.example>", "Vantroba, Zyrqel"),
        ("passenger VANTROBA/ZYRQEL MRS", "VANTROBA/ZYRQEL"),
        ("Marguerite \"Zed\" Vantroba", "Marguerite \"Zed\" Vantroba"),
        ("by Zyrqel bin Vantroba", "Zyrqel bin Vantroba"),
        ("Zyrqel van den Vantroba", "Zyrqel van den Vantroba"),
        ("ask Zyrqel Vantroba, PhD, about it", "Zyrqel Vantroba"),
        ("Reviewed-by: Zyrqel Vantroba", "Zyrqel Vantroba"),
        ("Zyrqel Vantroba <ci@build.example>", "Zyrqel Vantroba"),
        ("BEGIN:VCARD\nN:Vantroba;Zyrqel;;;\nFN:Zyrqel Vantroba\nEND:VCARD", "Vantroba"),
        ("Copyright (c) 2019-2021 Zyrqel Vantroba", "Zyrqel Vantroba"),
        ("NAME: ZYRQEL VANTROBA", "ZYRQEL VANTROBA"),
    ]);
    check_harmless(&[
        "offices in Washington, D.C. and Zilog, U.S.A.",
        "Jenkins CI <ci@build.example>, Support Team <help@build.example>",
        "A. Introduction\nB. Methods",
        "Type II, Part III",
        "TCP/UDP MR",
    ]);
}

#[test]
fn unknown_words_are_names_in_english_sentences() {
    check(&[
        ("I met Zyrqel Vantroba at the fair", "Zyrqel Vantroba"),
        ("Zyrqel Vantroba's account is locked", "Zyrqel Vantroba's"),
        ("the tenant Zyrqel Vantroba left", "Zyrqel Vantroba"),
        ("Visitor: Zyrqel Vantroba", "Zyrqel Vantroba"),
        ("Zyrqel, please call me back", "Zyrqel"),
    ]);
    check_harmless(&[
        "We use Grafana Kubernetes with Prometheus Alertmanager because it works",
        "Fehlende Felder wurden gefunden",
        "the Devanagari Gurmukhi scripts",
        "Started With Apache Kafka And Spring Boot",
    ]);
}

#[test]
fn a_given_name_alone_in_an_english_sentence() {
    check(&[
        ("I told Marguerite about the invoice", "Marguerite"),
        ("Rosalind graduated last year", "Rosalind"),
        ("Everyone calls me Marguerite.", "Marguerite"),
        ("They call her Zyrqel.", "Zyrqel"),
        ("What is your surname? What is your name? Zyrqel", "Zyrqel"),
        ("My name is Grace", "Grace"),
        ("their kids: Marguerite, Rosalind and Joseph", "Rosalind"),
        ("\"We will see,\" said Hernandez.", "Hernandez"),
        ("Marguerite: \"Who is there?\"", "Marguerite"),
        ("Beneficiario: Zyrqel Vantroba", "Zyrqel Vantroba"),
        ("Pt: NATHAN WALKER", "NATHAN WALKER"),
        ("he asked 지훈 about it", "지훈"),
        ("예금주 강태율", "강태율"),
    ]);
    check_harmless(&[
        "a flight that lands in Charlotte",
        "the cabin at Lake Charlotte with a view",
        "runs on Mac and Fedora with the same configuration",
        "we ate Thai food because it was there",
        "use the Magnus-Carlson algorithm with this",
        "What is this? Grafana",
        "\"config\": \"value\", says Grafana",
    ]);
}

#[test]
fn an_introduction_is_no_part_of_the_name() {
    assert_eq!(persons("user: it's Marguerite, please help"), ["Marguerite"]);
}

#[test]
fn the_words_before_a_signature_are_no_part_of_it() {
    check(&[
        ("call me on 965660724. Cumprimentos, Z. Vantroba", "Z. Vantroba"),
        ("24407 Göteborg. Hälsningar Margareta", "Margareta"),
        ("Best regards, Z. Vantroba", "Z. Vantroba"),
        // The same notation without such a word is a family name before its initial.
        ("Vantroba, Z. wrote", "Vantroba, Z."),
    ]);
}

#[test]
fn names_in_lower_case_without_a_cue_for_names() {
    check(&[
        ("pls reassign to rosalind okafor", "rosalind okafor"),
        ("a voucher for joseph hernandez and rosalind okafor", "rosalind okafor"),
        ("rosalind okafor called again", "rosalind okafor"),
        ("thanks, marguerite zyrqel", "marguerite zyrqel"),
        ("\"joseph hernandez's order\"", "joseph hernandez"),
        ("met with mrs. okafor", "okafor"),
    ]);
    check_harmless(&[
        "built with docker compose and rust analyzer",
        "runs for python scripts and shell scripts",
        "marguerite zyrqel is one",
        "with joseph_hernandez for joseph/hernandez",
        "from celery import task",
        "for mark up and down",
    ]);
}

#[test]
fn organisations_places_and_discoveries_are_no_persons() {
    check_harmless(&[
        "we compared Martha Stewart with Laura Ashley in the same store",
        "she bought a Stella McCartney bag because it was cheap",
        "the Marguerite Oyelaran Foundation has paid",
        "signed by Joseph Hernandez & Sons, and paid",
        "Joseph Hernandez, Inc. has shipped it",
        "they moved to Savannah last year",
        "flights from Verona to Siena are cheap",
        "moving to Charlotte next month, near Charlotte",
        "Siri and Cortana both answered",
        "offices in Austin, TX and Madison, WI",
        "they cited Benford's law and Fitts's law",
        "the Hernandez criterion was used because it works",
    ]);
    check(&[
        ("Dear Martha Stewart, thanks", "Martha Stewart"),
        ("I told Charlotte about the invoice", "Charlotte"),
        ("Marguerite Oyelaran and Joseph Hernandez were there", "Joseph Hernandez"),
    ]);
}
