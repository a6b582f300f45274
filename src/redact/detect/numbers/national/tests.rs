use super::super::super::{CustomDetectors, scan};
use super::*;

fn kinds(text: &str) -> Vec<&'static str> {
    scan(text, &CustomDetectors::default()).into_iter().map(|found| found.kind).collect()
}

/// Numbers of fictitious persons, which are sufficient without a label.
const ALONE: &[&str] = &[
    "4180 080551",
    "85.07.09-123.83",
    "7510242580",
    "756.6529.5927.76",
    "681115/8651",
    "65 170839 J 003",
    "060202-5329",
    "100148-005T",
    "100148A005T",
    "12345678Z",
    "Z7386284T",
    "1 85 05 78 006 084 91",
    "AB123456C",
    "AB 12 34 56 C",
    "MORGA657054SM9IJ",
    "3092328BB",
    "WRGUYJ21A05R992X",
    "123-456-789 64",
    "850709-9805",
    "19850709-9805",
    "123.456.789-09",
    "12345678909",
    "12.345.678-5",
    "1EG4-TE5-MK73",
    "20-12345678-6",
    "V-12.345.678",
    "784-1985-1234567-3",
    "11010519820314109X",
    "A123456(3)",
    "A123456789",
    "S1234567D",
    "761115-2318776",
    "821015-14-1521",
    "34533-3147893-2",
    "852345678V",
    "ABCPE1234F",
    "4911027681083",
    "GHA-123456789-0",
    "63-2345678H12",
];

#[test]
fn distinctive_numbers_need_no_label() {
    let mut missed = Vec::new();
    for number in ALONE {
        for text in [(*number).to_owned(), format!("the client sent {number}."), format!("[\"{number}\"]"), format!("x={number};y")] {
            let found = scan(&text, &CustomDetectors::default());
            if !found.iter().any(|found| found.value == *number) {
                missed.push(text);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn the_number_of_a_company_stays() {
    for text in ["RUC de la empresa 10054148289", "supplier RUC 10054148289"] {
        assert!(kinds(text).is_empty(), "{text}");
    }
    assert_eq!(kinds("RUC 10054148289"), ["national_id"]);
}

#[test]
fn a_plain_number_that_names_a_thing_stays() {
    for text in [
        "shipment 12345678909 left",
        "\"invoiceId\": 12345678909",
        "pedido 12345678909",
        "offset=12345678909",
        "{\"id\": 12345678909}",
        "read 12345678909 bytes",
        "took 12345678909 ns",
    ] {
        assert!(kinds(text).is_empty(), "{text}");
    }
    // A name of the number outweighs it, and forms with separators have no other meaning.
    for text in ["order with CPF 12345678909", "shipment for 123.456.789-09", "client 12345678909"] {
        assert_eq!(kinds(text), ["national_id"], "{text}");
    }
}

#[test]
fn accounts_in_national_forms() {
    let remainder = |body: &str| body.bytes().fold(0, |left, byte| (left * 10 + u32::from(byte - b'0')) % 97);
    // The check digits are computed here by another formula than in the table.
    let polish = format!("{:02} 1140 2004 0000 3102 7501 2345", 98 - remainder("114020040000310275012345252100"));
    let belgian = format!("539-0075470-{:02}", remainder("5390075470"));
    let serbian = format!("265-1043018840017-{:02}", 98 - remainder("265104301884001700"));
    for account in [polish.as_str(), &belgian, &serbian, "11773016-11111018-00000000"] {
        assert_eq!(kinds(&format!("pay to {account} today")), ["bank_account"], "{account}");
    }
    for wrong in ["00 1140 2004 0000 3102 7501 2345", "539-0075470-00", "265-1043018840017-00", "11773017-11111018-00000000"] {
        assert!(!kinds(&format!("ref {wrong} today")).contains(&"bank_account"), "{wrong}");
    }
}

#[test]
fn a_wrong_check_digit_needs_a_label() {
    for number in [
        "123.456.789-08",
        "12345678908",
        "WRGUYJ21A05R992Y",
        "12345678A",
        "850709-9806",
        "11010519820314109Y",
        "S1234567E",
        "756.6529.5927.77",
        "A123456(4)",
        "BG123456C",
        "8513015009087",
    ] {
        assert!(kinds(&format!("the client sent {number}.")).is_empty(), "{number}");
    }
}

#[test]
fn weak_check_digits_need_a_word_nearby() {
    for (number, texts) in [
        ("111222333", ["BSN of the client: 111222333", "\"bsn\": 111222333", "111222333 (bsn)", "Dutch client, no 111222333"]),
        ("84653423047", ["OIB 84653423047", "tax id 84653423047", "{\"personalCode\": \"84653423047\"}", "Croatian ID card 84653423047"]),
    ] {
        assert!(kinds(&format!("value {number} was read")).is_empty(), "{number}");
        for text in texts {
            assert_eq!(kinds(text), ["national_id"], "{text}");
        }
    }
    // The word must be near, and on the same line.
    for text in [
        "Dutch client\n\n\n111222333",
        "tax identification is explained in the chapter about the customs of all of the member states, 111222333",
    ] {
        assert!(kinds(text).is_empty(), "{text}");
    }
}

#[test]
fn parts_of_longer_numbers_are_kept() {
    for text in [
        "1.123.456.789-09",
        "123.456.789-09-1",
        "-2208936075000",
        "/orders/12345678909",
        "#12345678909",
        "0.12345678909",
        "12345678909%",
        "abc12345678909",
        "1735689600",
        "202611271530",
        "1735689600123",
    ] {
        assert!(kinds(text).is_empty(), "{text}");
    }
}

#[test]
fn every_form_is_indexed() {
    for format in formats() {
        for form in format.alone.iter().chain(format.near) {
            assert!(form.len() <= 34 && form.bytes().any(|byte| byte.is_ascii_digit()), "{} {form}", format.country);
            let lead = form.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
            let digits = form.bytes().skip(lead).take_while(u8::is_ascii_digit).count();
            let is_separated = form.bytes().take(lead).any(|byte| !byte.is_ascii_alphabetic());
            assert!((lead < LEAD_SEPARATED || is_separated) && digits <= FIRST_DIGITS_MAX, "{} {form}", format.country);
        }
        assert!(format.names.iter().all(|name| !name.is_empty() && name.to_lowercase() == *name), "{}", format.country);
    }
}

/// A generator of numbers (xorshift), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|index| char::from(b'0' + u8::try_from(if index == 0 { 1 + self.below(9) } else { self.below(10) }).unwrap()))
            .collect()
    }
}

/// Makes a harmless number.
type Generator = Box<dyn Fn(&mut Random) -> String>;

#[test]
fn harmless_numbers_stay() {
    const SAMPLES: usize = 2_000;
    let random = &mut Random(0x9e37_79b9_7f4a_7c15);
    let gtin = |random: &mut Random, count: usize| {
        let body = random.digits(count - 1);
        let sum: u32 = body.bytes().rev().zip([3, 1].into_iter().cycle()).map(|(byte, weight)| u32::from(byte - b'0') * weight).sum();
        format!("{body}{}", (10 - sum % 10) % 10)
    };
    let epoch = |random: &mut Random| 1_450_000_000 + random.below(380_000_000);
    let hex = |random: &mut Random, count: usize| -> String {
        (0..count).filter_map(|_| char::from_digit(u32::try_from(random.below(16)).ok()?, 16)).collect()
    };
    // Numbers that nothing else excludes: the largest share (of 1,000) that may be taken for a value.
    let mut generators: Vec<(&str, usize, Generator)> = vec![
        ("epoch s", 0, Box::new(move |r| epoch(r).to_string())),
        ("epoch ms", 0, Box::new(move |r| format!("{}{:03}", epoch(r), r.below(1000)))),
        ("epoch us", 0, Box::new(move |r| format!("{}{:06}", epoch(r), r.below(1_000_000)))),
        ("epoch ns", 0, Box::new(move |r| format!("{}{:09}", epoch(r), r.below(1_000_000_000)))),
        ("time", 2, Box::new(|r| format!("2026{:02}{:02}{:02}{:02}", 1 + r.below(12), 1 + r.below(28), r.below(24), r.below(60)))),
        ("date and build", 0, Box::new(|r| format!("2026{:02}{:02}-{}", 1 + r.below(12), 1 + r.below(28), r.below(99)))),
        ("version", 0, Box::new(|r| format!("{}.{}.{}", r.below(20), r.below(40), r.below(99)))),
        ("order", 0, Box::new(|r| format!("ORD-{}", r.digits(8)))),
        ("invoice", 0, Box::new(|r| format!("INV-2026-{}", r.digits(5)))),
        ("order in groups", 0, Box::new(|r| format!("{}-{}-{}", r.digits(3), r.digits(7), r.digits(7)))),
        ("tracking", 0, Box::new(|r| format!("RR{}DE", r.digits(9)))),
        ("GTIN-8", 0, Box::new(move |r| gtin(r, 8))),
        ("GTIN-13", 6, Box::new(move |r| gtin(r, 13))),
        ("GTIN-14", 12, Box::new(move |r| gtin(r, 14))),
        ("SSCC", 2, Box::new(move |r| gtin(r, 18))),
        ("ISIN", 0, Box::new(|r| format!("US{}", r.digits(10)))),
        ("ISBN-10", 15, Box::new(|r| r.digits(10))),
        ("IMEI", 10, Box::new(|r| format!("35{}", r.digits(13)))),
        ("percentage", 0, Box::new(|r| format!("{}.{}%", r.below(100), r.digits(3)))),
        ("price", 0, Box::new(|r| format!("${},{}.{:02}", r.digits(3), r.digits(3), r.below(100)))),
        ("price with dots", 0, Box::new(|r| format!("{}.{}.{},00", r.digits(2), r.digits(3), r.digits(3)))),
        ("spaced thousands", 0, Box::new(|r| format!("{} {} {}", r.digits(3), r.digits(3), r.digits(3)))),
        ("coordinates", 0, Box::new(|r| format!("{}.{}, {}.{}", r.below(90), r.digits(6), r.below(180), r.digits(6)))),
        ("float", 0, Box::new(|r| format!("0.{}", r.digits(16)))),
        ("float with digits", 0, Box::new(|r| format!("{}.{}", r.digits(6), r.digits(8)))),
        ("git describe", 0, Box::new(move |r| format!("v1.{}-{}-g{}", r.below(99), r.below(999), hex(r, 7)))),
        ("hash", 0, Box::new(move |r| hex(r, 40))),
        ("short hash", 0, Box::new(move |r| hex(r, 8))),
        ("hex id", 0, Box::new(move |r| hex(r, 12))),
        ("UUID", 0, Box::new(move |r| format!("{}-{}-4{}-a{}-{}", hex(r, 8), hex(r, 4), hex(r, 3), hex(r, 3), hex(r, 12)))),
        ("OID", 0, Box::new(|r| format!("1.3.6.1.4.1.{}.{}.1", r.digits(5), r.digits(2)))),
        ("pages", 0, Box::new(|r| format!("pp. {}-{}", r.digits(3), r.digits(3)))),
        ("range", 0, Box::new(|r| format!("{}-{}", r.digits(4), r.digits(4)))),
        ("statistics", 0, Box::new(|r| (0..8).map(|_| r.digits(3)).collect::<Vec<_>>().join(",\t"))),
        ("size", 0, Box::new(|r| format!("{} x {} x {} mm", r.digits(3), r.digits(3), r.digits(2)))),
        ("10 digits", 10, Box::new(|r| r.digits(10))),
        ("11 digits", 60, Box::new(|r| r.digits(11))),
        ("12 digits", 20, Box::new(|r| r.digits(12))),
        ("letter and digits", 30, Box::new(|r| format!("K{}", r.digits(9)))),
    ];
    for count in [4, 5, 6, 7, 8, 9, 17, 18, 19, 20] {
        generators.push(("digits", 3, Box::new(move |r| r.digits(count))));
    }
    let mut total = 0;
    for (name, allowed, generate) in &generators {
        let samples: Vec<String> = (0..SAMPLES).map(|_| generate(random)).collect();
        let removed: Vec<&String> = samples.iter().filter(|sample| !kinds(&format!("value {sample} was read")).is_empty()).collect();
        assert!(removed.len() * 1000 <= allowed * SAMPLES, "{name}: {} of {SAMPLES}, such as {:?}", removed.len(), removed.first());
        total += removed.len();
    }
    assert!(total * 1000 <= 4 * SAMPLES * generators.len(), "{total}");
}
