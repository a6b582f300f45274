//! Tests of addresses.

use super::super::{CustomDetectors, scan};

#[test]
fn addresses_without_a_label() {
    for address in [
        "659 Jennifer Circles, Allenville, OH 18385",
        "7 Grant Squares, Martinfort, L2 5QL",
        "Schenkstr. 38, 55372 Stuttgart",
        "49, rue de Delannoy, 73227 Courtois",
        "plac Broniewskiego 91, 78-023 Ostrów Wielkopolski",
        "Gundersenstubben 15, 8318 Haugland",
        "H.No. 54, Comar Circle, Mysore 979112",
        "12 Main Street, Springfield",
    ] {
        let text = format!("please bring it over: {address}. Then wait");
        let found = scan(&text, &CustomDetectors::default());
        let detection = found.iter().find(|detection| detection.kind == "address").unwrap_or_else(|| panic!("{address}"));
        assert!(detection.value.len() + 4 >= address.len(), "{:?}", detection.value);
    }
    for text in [
        "Last-Modified: Tue, 03 Nov 2026 10:00:00 GMT",
        "Python 3.12.3117 (main, Oct  1 2026, 10:00:00) [GCC 13.2.0] on linux",
        "Error code: 429 - Limit 30000, Used 28914, Requested 2381. Please try again",
        "Windows Server 2019, Version 1809",
        "The Paris release is on 12 April. Revenue rose to 5,568,953,218 from 6,893,221,479",
    ] {
        assert!(
            scan(text, &CustomDetectors::default()).iter().all(|detection| detection.kind != "address"),
            "{text}: {:?}",
            scan(text, &CustomDetectors::default())
        );
    }
}

/// Checks that each address is found as a whole in several carriers.
fn check(addresses: &[&str]) {
    for address in addresses {
        for text in [format!("please send it to {address}."), format!("{{\"q\": \"{address}\"}}"), (*address).to_owned()] {
            let found = scan(&text, &CustomDetectors::default());
            let covered: usize = found.iter().filter(|found| found.kind == "address").map(|found| found.value.len()).max().unwrap_or(0);
            assert!(covered + 4 >= address.len(), "{address} in {text:?}: {found:?}");
        }
    }
}

#[test]
fn addresses_with_units_and_districts() {
    check(&[
        "Flat 7, 12 Qoru Road, Leeds LS1 4AP",
        "Unit 3, Vantroba House, 9 Mill Lane, Bristol, BS1 2AB",
        "Qorustraße 12, Hinterhaus, 10827 Berlin",
        "Calle Qoru 14, 2º izq, 28013 Madrid",
        "Rua Vantroba 57, apto 31, Centro, Campinas - SP, CEP 13010-001",
        "Av. Qoru 1602, Int. 4, Col. Vantroba, C.P. 03940, Toluca",
        "Qoru Sokak No:8 D:4, 34710 Konya",
        "ул. Вантробы, д. 5, корп. 2, кв. 18, г. Тула, 300041",
        "Blk 412 Qoru Ave 10 #12-345, Singapore 560412",
        "Plot No 17, Sector 21, Vantroba Nagar, Pune - 411001",
        "Cl. 93B #11A-84, Of. 402, Bogotá",
        "Qorugade 7, 2. th, 1165 Aarhus",
        "Vantroba ferenc utca 12, 6720 Szeged",
    ]);
}

#[test]
fn boxes_and_military_addresses() {
    check(&[
        "PO Box 771, Dunmore NSW 2529",
        "Postfach 10 02 44, 20001 Hamburg",
        "Apartado de Correos 88, 29080 Málaga",
        "Private Bag X12, Hatfield 0028",
        "PSC 1234 Box 56, APO AE 09123",
        "RR 2 Box 45, Marlow, OK 73055",
        "а/я 15, 190000 Самара",
    ]);
}

#[test]
fn addresses_in_lower_case_and_without_capitals() {
    check(&[
        "899 qoru drive, apt 5b, indio, oh 29914",
        "12 rue des vantroba, 31000 toulouse",
        "شارع فنتروبا 12، حي قورو، الرياض 12214",
        "רחוב ונטרובה 45, תל אביב 6688312",
        "99/1 ถนนวันโตรบา แขวงโกรุ เขตคลองเตย กรุงเทพฯ 10110",
    ]);
}

#[test]
fn harmless_numbers_and_places() {
    for text in [
        "31 C, Lisbon 28 C, Oslo 12 C",
        "Chapter 5 Square Roots, Exercise 12 Circle Area",
        "20 Circle Packages, 30 Square Meters, 15 Court Cases",
        "Step 4 Close Window, Option 2",
        "10 files on a path, 12345 rows",
        "port 80, 4000 requests, 3 retries",
        "Copyright 2010-2014 Qoru Vantroba and Red Hat, Inc.",
        "Order n°4471, commande n°22, 3 articles",
        "released in Paris, 12345 downloads",
    ] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().all(|detection| detection.kind != "address"), "{text}: {found:?}");
    }
}

#[test]
fn quoted_lines_and_streets_with_numbers() {
    check(&[
        "44 East 9th Street",
        "120-124 5TH AVE, YONKERS, NY 10701",
        "Calle 45#12-30 Bucaramanga",
        "17 Qoru Canyon, Allenville, OH 18385",
        "72 linden avenue",
    ]);
    let text = "| The office:\n| 12 Main Street\n| Suite 9\n| Springfield, OH 18385\n";
    let found = scan(text, &CustomDetectors::default());
    assert!(found.iter().any(|detection| detection.value.contains("Main Street") && detection.value.contains("18385")), "{found:?}");
    for text in ["copy it to 500 gb flash drive", "it is 2 way street", "goes to 3 new forks", "## 2 Data Lake\n## 3 Streams"] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().all(|detection| detection.kind != "address"), "{text}: {found:?}");
    }
}

#[test]
fn a_sentence_in_a_field_for_addresses_is_no_address() {
    for text in [
        "Address: see page 12, bottom left",
        "\"address\": \"pending, 3 candidates\"",
        "\"address\": \"Where the parcel is delivered, line 1\"",
        "\"shipping_address\": \"same as billing, 2 parcels\"",
        "street art 2024, New York",
        "\"address\": \"not found, 2 tries\"",
    ] {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().all(|detection| detection.kind != "address"), "{text}: {found:?}");
    }
    for text in
        ["Address: rear building, door 3", "\"address\": \"The Old Mill, 12 Qoru Lane\"", "address: to the left, Qoru Road 7, 44101 Vantro"]
    {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().any(|detection| detection.kind == "address"), "{text}: {found:?}");
    }
}
