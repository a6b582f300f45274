//! Numbers of countries of Africa, Asia and Oceania.

use super::checks::Number;
use super::{IdFormat, id, unchecked};

pub(super) const FORMATS: &[IdFormat] = &[
    // Year of birth after the country's number 784.
    id("AE", &["784-9999-9999999-9", "784 9999 9999999 9", "784999999999999"], &[], &["emirates"], |n| {
        n.in_range(3, 4, 1880..=2039) && n.luhn()
    }),
    unchecked("AO", &["999999999AA999"], &[], &["bilhete", "bi"], |_| true),
    id("AU", &[], &["999 999 999", "999999999", "99999999", "999-999-999", "99 999 999"], &["tfn"], |n| {
        (n.sum(&[1, 4, 3, 7, 5, 8, 6, 9, 10])).is_multiple_of(11) && n.len() == 9
            || (n.len() == 8 && n.sum(&[10, 7, 8, 4, 6, 3, 5, 1]).is_multiple_of(11))
    }),
    id("AU", &["9999 99999 9", "9999-99999-9", "9999 99999 9/9", "9999 99999 9 9"], &["9999999999", "99999999999"], &["medicare"], |n| {
        n.is_one_of(0, "23456") && n.sum(&[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == n.digit(8)
    })
    .of_kind("medical_id"),
    // Individual healthcare identifier.
    id("AU", &["8003 6099 9999 9999", "8003 6999 9999 9999", "8003609999999999"], &[], &["ihi"], |n| {
        n.starts_with_any(&["80036"]) && n.luhn()
    })
    .of_kind("medical_id"),
    unchecked("BD", &[], &["9999999999", "9999999999999", "99999999999999999"], &["nid"], |_| true),
    // Area, date of birth, serial number.
    id("CN", &["99999999999999999X"], &[], &["sfz"], |n| {
        n.in_range(0, 2, 11..=91) && n.full_date(6) && (n.at(17).is_ascii_digit() || n.at(17) == b'X') && n.mod_11_2()
    }),
    unchecked("CN", &[], &["999999999999999"], &["sfz"], |n| n.in_range(0, 2, 11..=91) && n.ymd(6, &[0], &[0])),
    // Century, date of birth, governorate, serial number.
    unchecked("EG", &["99999999999999"], &[], &["raqam"], |n| {
        let first = if n.at(0) == b'2' { 1900 } else { 2000 };
        n.is_one_of(0, "23") && n.is_past(1, first) && n.ymd(1, &[0], &[0]) && matches!(n.number(7, 2), 1..=4 | 11..=35 | 88)
    }),
    unchecked("GH", &["GHA-999999999-9"], &["AAA-999999999-9"], &["ghana"], |_| true),
    unchecked("GH", &[], &["A9999999999", "A999999999A"], &["ghana"], |n| n.is_one_of(0, "PCGQV")),
    // Identity card of Hong Kong: letters as 10 to 35, 36 for a missing first one, weights from 9.
    unchecked("HK", &["A999999(9)", "A999999(A)", "AA999999(9)", "AA999999(A)"], &["A9999999", "A999999A", "AA9999999"], &["hkid"], |n| {
        let letters = n.len() - 7;
        let first = if letters == 1 { 36 * 9 } else { 0 };
        let sum: u32 =
            (0..n.len() - 1).zip((2..=u32::try_from(n.len()).unwrap_or(0)).rev()).map(|(index, weight)| n.digit(index) * weight).sum();
        matches!(n.at(n.len() - 1), b'0'..=b'9' | b'A') && (first + sum + n.last()).is_multiple_of(11)
    }),
    id("MO", &["9999999(9)", "9/999999/9"], &[], &["bir"], |n| n.is_one_of(0, "157")),
    // Region, date of birth (day + 40 for women), serial number.
    unchecked("ID", &["999999 999999 9999", "999999-999999-9999", "999999.999999.9999"], &["9999999999999999"], &["nik", "ktp"], |n| {
        n.in_range(0, 2, 11..=96) && n.dmy(6, &[0], &[0, 40])
    }),
    unchecked("ID", &["99.999.999.9-999.999"], &["999999999999999", "9999999999999999"], &["npwp"], |_| true),
    unchecked("IL", &[], &["999999999", "99999999-9", "9-9999999-9", "99999999"], &["teudat", "mispar", "ת ז", "תז"], |n| {
        n.len() == 8 || n.luhn()
    }),
    // Identity number, its virtual form, tax number (P is a person), voter's card, health account.
    id("IN", &["9999 9999 9999", "9999-9999-9999"], &["999999999999"], &["aadhaar", "aadhar", "adhar", "uid", "uidai"], |n| {
        n.at(0) >= b'2' && n.verhoeff(12)
    }),
    id("IN", &[], &["9999 9999 9999 9999", "9999-9999-9999-9999", "9999999999999999"], &["vid", "aadhaar", "aadhar"], |n| {
        n.at(0) >= b'2' && n.verhoeff(16)
    }),
    id("IN", &["AAAAA9999A"], &[], &["pan"], |n| n.at(3) == b'P' && n.number(5, 4) > 0),
    unchecked("IN", &[], &["AAAAA9999A"], &["pan"], |n| n.is_one_of(3, "ABCFGHLJTK")),
    id("IN", &[], &["AAA9999999"], &["epic", "elector"], |n| n.luhn_of(3, 7)),
    unchecked("IN", &["99-9999-9999-9999"], &["99999999999999"], &["abha"], |_| true).of_kind("medical_id"),
    id("IR", &["999-999999-9"], &["9999999999"], &["melli", "ملی"], |n| {
        let rest = n.sum(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        (if rest < 2 { rest } else { 11 - rest }) == n.digit(9)
    }),
    id("JP", &["9999 9999 9999", "9999-9999-9999"], &["999999999999"], &["mynumber", "my number", "マイナンバー", "kojin"], |n| {
        let check = n.complement(&[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2], 11);
        (if check == 10 { 0 } else { check }) == n.digit(11)
    }),
    unchecked("JP", &[], &["AA99999999AA"], &["zairyu", "在留"], |_| true),
    id("KE", &["A999999999A"], &[], &["kra"], |n| n.at(0) == b'A'),
    unchecked("KE", &[], &["A999999999A", "99999999"], &["kra", "kenya"], |n| n.len() == 8 || n.is_one_of(0, "AP")),
    // Registration number of residents. The check digit is not used since October 2020.
    unchecked("KR", &["999999-9999999"], &["9999999999999", "999999 9999999"], &["rrn", "jumin", "외국인등록"], |n| {
        n.ymd(0, &[0], &[0])
    }),
    id("KR", &["99-99-999999-99"], &["999999999999"], &["면허"], |n| n.in_range(0, 2, 11..=28)).of_kind("drivers_license"),
    // Century, date of birth, serial number.
    id("KW", &["999999999999"], &[], &["civil"], |n| {
        n.is_one_of(0, "23") && n.ymd(1, &[0], &[0]) && 11 - n.sum(&[2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11 == n.digit(11)
    }),
    // Date of birth, century and sex, serial number; a second set of weights if the first gives 10.
    id("KZ", &["999999999999"], &[], &["iin", "иин", "жсн"], |n| {
        let first = n.sum(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) % 11;
        let check = if first == 10 { n.sum(&[3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2]) % 11 } else { first };
        n.is_one_of(6, "123456") && n.ymd(0, &[0], &[0]) && check == n.digit(11)
    }),
    // Year, day of the year (+ 500 for women), serial number.
    id("LK", &["999999999V"], &["999999999X"], &["nic"], |n| {
        n.at(9).is_ascii_alphabetic() && matches!(n.number(2, 3), 1..=366 | 501..=866)
    }),
    unchecked("LK", &[], &["999999999999"], &["nic", "lanka"], |n| {
        n.in_range(0, 4, 1900..=2039) && matches!(n.number(4, 3), 1..=366 | 501..=866)
    }),
    unchecked("MA", &[], &["A999999", "AA999999", "AA99999"], &["cin", "cnie"], |_| true),
    // First letter of the surname, date of birth, serial number.
    id("MU", &["A999999999999X"], &[], &["mauriti"], |n| {
        let sum = n.sum(&[14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
        n.dmy(1, &[0], &[0]) && (17 - sum % 17) % 17 == n.digit(13)
    }),
    // Date of birth, place of birth, serial number.
    unchecked("MY", &["999999-99-9999", "999999 99 9999"], &["999999999999"], &["nric", "mykad", "kad pengenalan", "ic"], |n| {
        n.ymd(0, &[0], &[0]) && n.number(6, 2) > 0
    }),
    id("MZ", &[], &["999999999"], &["nuit"], |n| {
        let check = n.sum(&[8, 9, 4, 5, 6, 7, 8, 9]) % 11;
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1].get(usize::try_from(check).unwrap_or(0)) == Some(&n.digit(8))
    }),
    unchecked("NG", &[], &["99999999999", "9999 999 9999"], &["bvn", "nimc"], |n| n.at(0) != b'0'),
    id("NZ", &[], &["99-999-999", "999-999-999", "999999999", "99999999", "99 999 999"], &["ird"], |n| {
        let padded = Number::new(&format!("{:09}", n.number(0, n.len())));
        padded.is_some_and(|n| {
            let first = n.complement(&[3, 2, 7, 6, 5, 4, 3, 2], 11);
            let check = if first == 10 { n.complement(&[7, 4, 3, 2, 5, 2, 7, 6], 11) } else { first };
            check == n.digit(8)
        })
    }),
    unchecked("NZ", &[], &["AAA9999", "AAA99AA"], &["nhi"], |n| !n.characters().iter().any(|character| b"IO".contains(character)))
        .of_kind("medical_id"),
    unchecked(
        "PH",
        &[],
        &["999-999-999-999", "999-999-999", "99-9999999-9", "9999-9999999-9", "9999-9999-9999-9999", "99-999999999-9"],
        &["sss", "philhealth", "pag ibig", "umid", "philsys"],
        |_| true,
    ),
    // Division, district, family number, sex.
    unchecked("PK", &["99999-9999999-9"], &["9999999999999"], &["cnic", "nicop"], |n| n.is_one_of(0, "1234567")),
    unchecked("RW", &["9 9999 9 9999999 9 99"], &["9999999999999999"], &["indangamuntu"], |n| n.in_range(1, 4, 1900..=2039)),
    id("SA", &[], &["9999999999"], &["iqama", "saudi"], |n| n.is_one_of(0, "12") && n.luhn()),
    // Identity numbers of citizens and residents, with a letter as the check.
    id("SG", &["A9999999A"], &[], &["nric", "fin"], |n| {
        let sum = n.sum_from(1, &[2, 7, 6, 5, 4, 3, 2]);
        let (offset, letters): (u32, &[u8]) = match n.at(0) {
            b'S' => (0, b"JZIHGFEDCBA"),
            b'T' => (4, b"JZIHGFEDCBA"),
            b'F' => (0, b"XWUTRQPNMLK"),
            b'G' => (4, b"XWUTRQPNMLK"),
            b'M' => (3, b"KLJNPQRTUWX"),
            _ => return false,
        };
        let place = usize::try_from((offset + sum) % 11).unwrap_or(0);
        let place = if n.at(0) == b'M' { 10 - place } else { place };
        letters.get(place) == Some(&n.at(8))
    }),
    id("TH", &["9-9999-99999-99-9", "9 9999 99999 99 9"], &["9999999999999"], &["pin"], |n| {
        n.is_one_of(0, "12345678") && (11 - n.sum(&[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 10 == n.digit(12)
    }),
    // A letter for the region, sex (8 and 9 for residents), serial number.
    id("TW", &["A199999999", "A299999999"], &["A899999999", "A999999999"], &["arc"], |n| {
        let region =
            b"ABCDEFGHJKLMNPQRSTUVXYWZIO".iter().position(|letter| *letter == n.at(0)).and_then(|place| u32::try_from(place + 10).ok());
        n.is_one_of(1, "1289")
            && region.is_some_and(|region| (region / 10 + region % 10 * 9 + n.sum_from(1, &[8, 7, 6, 5, 4, 3, 2, 1, 1])).is_multiple_of(10))
    }),
    id("TZ", &["99999999-99999-99999-99"], &[], &["nida"], |n| n.full_date(0)),
    unchecked("UG", &[], &["AA99999999999A", "AA999999999AAA", "AA99999999AAAA"], &["uganda"], |n| {
        n.is_one_of(0, "CA") && n.is_one_of(1, "MF")
    }),
    // Century and sex, date of birth, district, serial number.
    id("UZ", &["99999999999999"], &[], &["pinfl", "пинфл", "jshshir"], |n| {
        n.is_one_of(0, "3456") && n.dmy(1, &[0], &[0]) && n.sum(&[7, 3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1, 7]) % 10 == n.digit(13)
    }),
    unchecked("VN", &[], &["999999999999", "999999999"], &["cccd", "cmnd"], |n| {
        n.len() == 9 || (n.in_range(0, 3, 1..=96) && n.at(0) == b'0')
    }),
    // Date of birth, serial number, citizenship.
    id("ZA", &["9999999999999", "999999 9999 999", "999999 9999 99 9", "999999-9999-99-9", "999999 9999999"], &[], &["sa id"], |n| {
        n.ymd(0, &[0], &[0]) && n.is_one_of(10, "012") && n.luhn()
    }),
    id("ZW", &["99-999999A99", "99-9999999A99", "99-999999-A-99", "99-9999999-A-99", "99 999999 A 99"], &[], &["zimbabwe"], |n| {
        let digits = n.len() - 3;
        n.at(digits).is_ascii_alphabetic()
            && b"ZABCDEFGHJKLMNPQRSTVWXY".get(usize::try_from(n.number(0, digits) % 23).unwrap_or(0)) == Some(&n.at(digits))
    }),
];
